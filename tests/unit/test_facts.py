"""Facts that several languages need are stated once, or compared here."""

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from inference import CHECK, HOOKS_FILE, VARIANT, check, limits, metrics, predictions
from inference import config as configuration
from inference import runtimes as served_runtimes
from inference.errors import ModelError
from modelctl import paths, runtimes
from modelctl.importing import proof
from modelctl.local.layout import ACCOUNT
from modelctl.registry import validation
from weights_sync import publish

EVERYTHING = paths.CHECKOUT / "tests" / "registries" / "valid" / "everything.yaml"
SCHEMA = json.loads((validation.MODULE / "model_registry.schema.json").read_text())


@pytest.fixture(scope="module")
def documented() -> dict[str, Any]:
    """The normal form of an entry that gives every field."""
    model: dict[str, Any] = validation.load(EVERYTHING)["digits"]
    return model


def read(document: dict[str, Any]) -> configuration.Config:
    return configuration.read(
        {"MODELYARD_MODEL": json.dumps(document), "MODELYARD_WEIGHTS": "/mnt/model", "MODELYARD_RESULTS": "results"}
    )


def told() -> dict[str, list[str]]:
    """What the schema marks for the function: fields of an entry, each with those in it, if it is a section."""
    rules = {name: SCHEMA["$defs"][name] for name in SCHEMA["$defs"]["model"]["properties"]}
    marked = {
        name: [
            field
            for field, inner in rule.get("properties", {}).items()
            if "x-function" in rule or "x-function" in inner
        ]
        for name, rule in rules.items()
    }
    return {name: inner for name, inner in marked.items() if inner or "x-function" in rules[name]}


# --- the document -----------------------------------------------------------------------------------------------------


def test_every_field_for_the_function_is_in_the_document_and_read_from_it(documented: dict[str, Any]) -> None:
    document, config = documented["document"], read(documented["document"])
    assert config.digest == documented["digest"]
    assert config.artifact == Path("/mnt/model") / documented["digest"]
    taken_away = [("limits", "decompressed_bytes")]
    for name, inner in told().items():
        section = getattr(config.input if name in ("limits", "batch") else config, name)
        for field in inner:
            value = getattr(section, field)
            given = list(value) if isinstance(value, tuple) else value
            assert ((name, field) in taken_away) == (field not in document[name])
            assert (name, field) in taken_away or document[name][field] == given
        assert inner or document[name] == section


def test_a_field_without_a_value_is_not_in_the_document() -> None:
    document = validation.load(EVERYTHING.with_name("minimal.yaml"))["digits"]["document"]
    assert document["input"] == {"format": "json"}
    assert document["output"] == document["limits"] == document["batch"] == {}
    assert vars(read(document).output) == vars(configuration.OutputConfig())


def test_the_function_knows_no_field_that_the_registry_lacks() -> None:
    sections = {name: set(inner) for name, inner in told().items() if inner}
    known = {
        "input": {field.name for field in fields(configuration.InputConfig)} - {"limits", "batch"},
        "output": {field.name for field in fields(configuration.OutputConfig)},
        "limits": {field.name for field in fields(limits.Limits)},
        "batch": {field.name for field in fields(configuration.BatchConfig)},
        "route": {field.name for field in fields(configuration.Route)},
    }
    assert known == sections


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"contract": configuration.CONTRACT + 1}, "has contract 3, but this code reads 2"),
        ({"contract": None}, "has contract None, but this code reads 2"),
        ({"runtime": "jax"}, "names the runtime jax, which this code does not know"),
        ({"smoke": []}, "has the field smoke, which this code does not know"),
        ({"artifact": "elsewhere"}, "has the field artifact, which this code does not know"),
        ({"input": {"format": "image", "crop": "centre"}}, "has the field input.crop, which"),
        ({"input": {"format": "json", "limits": {}}}, "has the field input.limits, which"),
        ({"output": {"unit": "percent"}}, "has the field output.unit, which"),
        ({"limits": {"seconds": 1}}, "has the field limits.seconds, which"),
        ({"route": {"prefixes": ["a/"], "buckets": []}}, "has the field route.buckets, which"),
    ],
)
def test_a_document_of_another_version_is_refused_by_what_differs(
    change: dict[str, Any], says: str, documented: dict[str, Any]
) -> None:
    with pytest.raises(
        ModelError, match=rf"{re.escape(says)}.*different versions.*`modelctl package`.*`modelctl image`"
    ):
        read(documented["document"] | change)


# --- facts of two languages -------------------------------------------------------------------------------------------


def test_terraform_and_the_function_name_the_same_things(documented: dict[str, Any]) -> None:
    assert documented["document"]["contract"] == configuration.CONTRACT
    assert documented["names"]["metric_dimensions"] == {"Model": "digits", "Variant": VARIANT}
    assert HOOKS_FILE in documented["files"]
    assert SCHEMA["$defs"]["signature"]["default"] == served_runtimes.DEFAULT_SIGNATURE


LABELS = {
    "plain": (b"cat\ndog\n", ["cat", "dog"]),
    "without-an-end": (b"cat\ndog", ["cat", "dog"]),
    "byte-order-mark": (b"\xef\xbb\xbfcat\ndog\n", ["cat", "dog"]),
    "windows": (b"cat\r\ndog\r\n", ["cat", "dog"]),
    "old-macs": (b"cat\rdog\r", ["cat", "dog"]),
    "blank-end": (b"cat\ndog\n\n \t\r\n\n", ["cat", "dog"]),
    "blank-inside": (b"\ncat\n\ndog\n", ["", "cat", "", "dog"]),
    "spaces": (b" big  cat\n\tdog \n", [" big  cat", "\tdog "]),
    # str.splitlines ends a line at each of these.
    "other-separators": (
        "sie\u2028ben\nacht\u2029\x0b\x0c\x1c\x1d\x1e\x85\n".encode(),
        ["sie\u2028ben", "acht\u2029\x0b\x0c\x1c\x1d\x1e\x85"],
    ),
    "last-line-of-a-separator": ("cat\n\u2028\n".encode(), ["cat", "\u2028"]),
}


def test_terraform_and_the_function_split_labels_alike(tmp_path: Path) -> None:
    for name, (content, _) in LABELS.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "labels.txt").write_bytes(content)
    entries = [f"  {name}: {{artifact: {name}, output: {{labels: labels.txt}}}}" for name in LABELS]
    (tmp_path / "registry.yaml").write_text("\n".join(["version: 1", "models:", *entries]))
    expected = {name: lines for name, (_, lines) in LABELS.items()}
    joined = {name: "\n".join(lines) for name, lines in expected.items()}
    assert validation.ask(tmp_path / "registry.yaml", "local._labels") == joined
    assert {name: list(predictions.read_labels(tmp_path / name / "labels.txt")) for name in LABELS} == expected


def test_the_check_that_terraform_sends_is_the_one_that_the_function_reads(documented: dict[str, Any]) -> None:
    event = json.loads(documented["check"])
    labels = EVERYTHING.parent / "../artifacts/litert/labels.txt"
    default = SCHEMA["$defs"]["sample"]["properties"]["tolerance"]["default"]
    assert event.keys() == {CHECK}
    assert check._samples(event[CHECK]) == [
        check.Sample("../artifacts/litert/labels.txt", labels.read_bytes(), predictions, tolerance)
        for predictions, tolerance in (
            (None, default),
            ([{"label": "<3>"}], default),
            ([{"label": "3", "score": 0.98}, [1, None, True]], 0.05),
        )
    ]
    assert SCHEMA["$defs"]["smoke"]["maxItems"] == check.MOST_SAMPLES
    assert SCHEMA["$defs"]["sample"]["properties"]["file"]["maxLength"] == check.LONGEST_FILE


def test_the_dimensions_of_the_alarms_are_those_of_the_metrics(
    documented: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    metrics.emit(
        read(documented["document"]),
        predictions=1,
        inputs=1,
        input_errors=0,
        failures=0,
        predict_ms=1,
        cold_start=False,
        now=0,
    )
    line = json.loads(capsys.readouterr().out)
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    (dimensions,) = directive["Dimensions"]
    assert {name: line[name] for name in dimensions} == documented["names"]["metric_dimensions"]


def test_the_schema_tells_the_limits_that_the_function_has() -> None:
    told_defaults = {
        name: int(re.search(r"By default, (\d+)", field["description"])[1])  # type: ignore[index]
        for name, field in SCHEMA["$defs"]["limits"]["properties"].items()
    }
    assert told_defaults == {
        "bytes": limits.MAX_BYTES,
        "decompressed_bytes": limits.MAX_BYTES,
        "pixels": limits.MAX_PIXELS,
        "records": limits.MAX_RECORDS,
    }


def test_the_largest_artifact_is_what_a_call_of_weights_sync_copies_in_its_time() -> None:
    function = (paths.TERRAFORM / "modules" / "weights_sync" / "main.tf").read_text()
    assert re.findall(r"timeout += (\d+)", function) == [str(publish.CALL_S)]
    assert validation.LARGEST_ARTIFACT == (publish.CALL_S - publish.KEPT_S) * 90 * 10**6
    limit = f"{validation.LARGEST_ARTIFACT / 10**9} GB"
    assert limit in paths.DOCS.joinpath("reference.md").read_text()
    assert limit in (paths.TERRAFORM / "AWS_RULES.md").read_text()


def test_the_docs_say_how_far_a_conversion_may_change_answers() -> None:
    rows = re.findall(
        r"^\| `(\w+)`.*? \| .+ \| ([\d.]+) \| ([\d.]+) \| (?:(\d+) %|not compared)",
        paths.DOCS.joinpath("importing.md").read_text(),
        re.MULTILINE,
    )
    said = {name: (float(error), float(spread)) for name, error, spread, _ in rows}
    assert said == {name: (tolerance.error, tolerance.spread) for name, tolerance in proof.TOLERANCES.items()}
    agreements = {name: int(percent) / 100 for name, _, _, percent in rows if percent}
    assert agreements == {name: it.agreement for name, it in proof.TOLERANCES.items() if name != "none"}


def test_a_function_is_kept_active_by_the_alias_and_with_the_event_that_it_knows() -> None:
    modules = paths.TERRAFORM / "modules"
    schedule = (modules / "keep_active" / "main.tf").read_text()
    for handler in ("inference", "weights_sync"):
        (known,) = re.findall(r"^KEEP_ACTIVE = (.+)$", (paths.FUNCTIONS / handler / "handler.py").read_text(), re.M)
        assert known == '{"keep_active": True}'
    assert re.findall(r"input += (.+?) #", schedule) == ["jsonencode({ keep_active = true })"]
    aliases = [
        re.findall(r'alias += ("\w+")', text) for text in (schedule, (modules / "model" / "main.tf").read_text())
    ]
    assert aliases == [['"live"'], ['"live"']]


def test_the_local_stacks_account_is_the_one_that_terraform_knows_it_by() -> None:
    (account,) = re.findall(r'local_account += "(\d+)"', (paths.TERRAFORM / "providers.tf").read_text())
    assert account == ACCOUNT


# --- runtimes ---------------------------------------------------------------------------------------------------------


def test_the_schema_has_the_runtimes_of_the_table_and_says_what_they_take() -> None:
    rule = SCHEMA["$defs"]["runtime"]
    assert rule["enum"] == list(runtimes.TABLE)
    for name, runtime in runtimes.TABLE.items():
        assert name in rule["errorMessage"]
        assert f"{name} takes {runtime.takes}" in rule["description"]


@pytest.mark.parametrize("field", ["memory_mb", "timeout_s"])
def test_the_schema_tells_the_defaults_of_each_runtime(field: str) -> None:
    said = SCHEMA["$defs"][field]["description"]
    defaults = {name: getattr(runtime, field) for name, runtime in runtimes.TABLE.items()}
    usual = defaults["litert"]
    assert f"By default, {usual}," in said
    for name, default in defaults.items():
        assert default == usual or f"or {default} with runtime {name}." in said


def test_every_runtime_has_its_module_and_its_locked_requirements() -> None:
    inference = paths.FUNCTIONS / "inference"
    modules = {file.stem for file in (inference / "runtimes").glob("*.py")} - {"__init__"}
    locked = {file.stem for file in (inference / "requirements").glob("*.txt")}
    assert set(runtimes.TABLE) == modules == locked == {file.stem for file in (inference / "requirements").glob("*.in")}


def test_a_kind_of_file_is_for_one_runtime_and_what_names_signatures_is_taken() -> None:
    kinds = [kind for runtime in runtimes.TABLE.values() for kind in runtime.files]
    assert len(set(kinds)) == len(kinds)
    for runtime in runtimes.TABLE.values():
        assert set(runtime.signatures) <= set(runtime.files)
        assert set(runtime.converts) <= set(runtimes.TABLE)
        assert bool(runtime.imports) == (runtime.package == "layer")
