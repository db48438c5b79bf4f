"""The registry: what the Terraform module refuses and gives, as `modelctl` and `terraform plan` show it."""

import functools
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from modelctl.deployed import restoring
from modelctl.errors import UserError
from modelctl.registry import registry_file, validation
from modelctl.terraform import program
from weights_sync import artifact

REGISTRIES = Path(__file__).resolve().parents[1] / "registries"
VALID = sorted((REGISTRIES / "valid").glob("*.yaml"))
INVALID = sorted((REGISTRIES / "invalid").glob("*/*.yaml"))
SCHEMA = json.loads((validation.MODULE / "model_registry.schema.json").read_text())


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def read(path: Path) -> Any:
    """The registry as Terraform reads it: every key is a string, `on` is the key "true"."""

    def with_text_keys(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                str(key).lower() if isinstance(key, bool) else str(key): with_text_keys(v) for key, v in value.items()
            }
        return [with_text_keys(v) for v in value] if isinstance(value, list) else value

    return with_text_keys(validation.parse(path.read_text(encoding="utf-8-sig")))


@pytest.mark.parametrize("path", VALID, ids=name_of)
def test_a_valid_registry_has_no_problems(path: Path) -> None:
    assert validation.validate(path) == []


@pytest.mark.parametrize("path", INVALID, ids=name_of)
def test_an_invalid_registry_has_exactly_the_expected_problems_with_their_lines(path: Path, rewriting: bool) -> None:
    expected = path.with_suffix(".expected")
    found = [validation.format_problem(Path(path.name), problem) for problem in validation.validate(path)]
    if rewriting:
        expected.write_text("".join(f"{line}\n" for line in found))

    assert found == expected.read_text().splitlines(), "`make expected` rewrites the file"


def test_no_expected_problems_are_left_of_a_registry_that_is_gone() -> None:
    assert sorted(REGISTRIES.rglob("*.expected")) == [path.with_suffix(".expected") for path in INVALID]


@pytest.mark.parametrize("path", VALID, ids=name_of)
def test_the_schema_accepts_what_the_module_accepts(path: Path) -> None:
    assert list(Draft202012Validator(SCHEMA).iter_errors(read(path))) == []


@pytest.mark.parametrize("path", sorted((REGISTRIES / "invalid/schema").glob("*.yaml")), ids=name_of)
def test_an_editor_with_the_schema_refuses_what_the_module_refuses_by_it(path: Path) -> None:
    assert not Draft202012Validator(SCHEMA).is_valid(read(path))


@pytest.mark.parametrize("path", sorted((REGISTRIES / "invalid/rules").glob("*.yaml")), ids=name_of)
def test_the_rules_beyond_the_schema_stand_in_the_module_only(path: Path) -> None:
    assert Draft202012Validator(SCHEMA).is_valid(read(path))


def test_the_schema_is_one_and_keeps_its_own_rules() -> None:
    Draft202012Validator.check_schema(SCHEMA)

    def rules(rule: dict[str, Any]) -> list[dict[str, Any]]:
        children = [*rule.get("properties", {}).values(), *([rule["items"]] if "items" in rule else [])]
        return [rule, *(inner for child in children for inner in rules(child))]

    for rule in [inner for shared in (SCHEMA, *SCHEMA["$defs"].values()) for inner in rules(shared)]:
        # A default or an example that its own rule refuses would mislead an editor's user.
        examples = [*rule.get("examples", []), *([rule["default"]] if "default" in rule else [])]
        validator = Draft202012Validator({**rule, "$defs": SCHEMA["$defs"]})
        assert [example for example in examples if not validator.is_valid(example)] == []
        assert "$ref" in rule or rule["description"]
        # `modelctl validate` says why a value does not fit a pattern in words.
        assert ("pattern" in rule) == ("patternErrorMessage" in rule)


def test_load_gives_every_field_with_the_default_of_the_schema() -> None:
    (digits,) = validation.load(REGISTRIES / "valid/minimal.yaml").values()

    def given(path: str) -> Any:
        values = digits["document"] | digits
        return functools.reduce(lambda value, key: value[key], path.split("."), values)

    # The document leaves out what has no value; the normal form has it as null.
    defaults = {
        path: rule["default"]
        for path, rule in rules_of_a_model()
        if rule.get("default", {}) != {}
        and "[0]" not in path
        and (rule["default"] is not None or (path.split(".")[0] in digits and "x-function" not in rule))
    }
    assert len(defaults) > 14
    assert {path: given(path) for path in defaults} == defaults


def test_load_gives_what_follows_from_other_fields_and_from_the_models_name() -> None:
    (digits,) = validation.load(REGISTRIES / "valid/minimal.yaml").values()

    assert digits["route"]["prefixes"] == ["digits/"]
    assert digits["visibility_timeout_s"] == 6 * 60 + 1
    assert digits["alarms"]["queue_age_s"] == 3 * (6 * 60 + 1)
    assert set(digits["variables"]) == {"MODELYARD_MODEL", "MODELYARD_WEIGHTS"}
    assert digits["tags"] == {"Model": "digits"}


def test_defaults_are_merged_key_by_key_and_null_takes_one_away() -> None:
    models = validation.load(REGISTRIES / "valid/defaults.yaml")

    merged = models["merged"]
    assert merged["document"]["input"] == {
        "format": "image",
        "size": [16, 24],
        "mode": "RGB",
        "scale": 0.5,
        "mean": [1, 2.5, 3],
        "std": [1, 1, 1],
    }
    assert merged["batch"] == {"size": 4, "window_s": 0}
    own = {name: value for name, value in merged["variables"].items() if not name.startswith("MODELYARD_")}
    assert own == {"LOG_LEVEL": "DEBUG", "PLACE": "north", "COLOUR": "blue"}
    assert merged["tags"] == {"team": "vision", "owner": "ann", "Model": "merged"}
    assert set(models["taken-away"]["document"]["input"]) == {"format"}
    assert models["taken-away"]["document"]["output"] == {}


def test_the_alarm_on_the_queues_age_follows_the_time_until_an_input_is_tried_again() -> None:
    models = validation.load(REGISTRIES / "valid/alarms.yaml")

    assert models["by-default"]["visibility_timeout_s"] == 6 * 20 + 3
    alarms = {name: {alarm: at for alarm, at in model["alarms"].items() if at} for name, model in models.items()}
    assert alarms == {
        "by-default": {
            "dead_letters": 5,
            "queue_age_s": 3 * (6 * 20 + 3),
            "errors": 10,
            "input_error_share": 0.5,
        },
        "of-its-own": {
            "dead_letters": 5,
            "queue_age_s": 60,
            "errors": 2,
            "throttles": 1,
            "input_errors": 100,
            "input_error_share": 1,
        },
        "none": {},
    }


def test_an_input_is_received_once_more_after_an_idle_function_was_restored(tmp_path: Path) -> None:
    """Its last receive comes no earlier than restoring takes, unless the first is the last."""
    expected = {(60, 5): 361, (1, 5): 30, (5, 3): 60, (20, 2): 121, (19, 2): 120, (1, 200): 7, (5, 1): 31}
    entry = "  m{}-{}: {{artifact: {}, runtime: litert, version: '1', timeout_s: {}, retries: {}}}\n"
    artifact = REGISTRIES / "artifacts/litert"
    entries = [entry.format(*case, artifact, *case) for case in expected]
    (tmp_path / "registry.yaml").write_text("version: 1\nmodels:\n" + "".join(entries))

    models = validation.load(tmp_path / "registry.yaml").values()

    timeouts_s = {(model["timeout_s"], model["retries"]): model["visibility_timeout_s"] for model in models}
    assert timeouts_s == expected
    last_receives_s = [(retries - 1) * timeout_s for (_, retries), timeout_s in timeouts_s.items() if retries > 1]
    assert min(last_receives_s) == restoring.SLOWEST_S


def test_memory_and_time_follow_the_runtime_unless_they_are_given() -> None:
    models = validation.load(REGISTRIES / "valid/defaults.yaml")

    memory = {name: model["memory_mb"] for name, model in models.items()}
    assert memory == {"merged": 3008, "taken-away": 3008, "other-runtime": 1024, "onnx": 1024, "own-memory": 4096}
    seconds = {name: model["timeout_s"] for name, model in models.items()}
    assert seconds == {"merged": 120, "taken-away": 120, "other-runtime": 60, "onnx": 60, "own-memory": 90}
    assert models["merged"]["visibility_timeout_s"] == 6 * 120 + models["merged"]["batch"]["window_s"]


def test_digest_and_files_are_those_of_the_artifact_without_hidden_files() -> None:
    folder = REGISTRIES / "artifacts/saved_model"
    model = validation.load(REGISTRIES / "valid/defaults.yaml")["taken-away"]

    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    assert names == ["fingerprint.pb", "saved_model.pb", "variables/variables.index"]
    assert {name: file["sha256"] for name, file in model["files"].items()} == sums
    assert {name: Path(file["source"]).resolve() for name, file in model["files"].items()} == {
        n: folder / n for n in names
    }
    assert model["digest"] == hashlib.sha256("".join(f"{sums[n]}  {n}\n" for n in names).encode()).hexdigest()

    with_hidden_files = validation.load(REGISTRIES / "valid/minimal.yaml")["digits"]
    assert list(with_hidden_files["files"]) == ["labels.txt", "model.tflite"]


def test_an_artifact_that_one_call_cannot_copy_is_refused_with_its_size_and_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry_file = REGISTRIES / "valid/one_model.yaml"
    size = sum(file.stat().st_size for file in (REGISTRIES / "artifacts/litert").iterdir() if file.name[0] != ".")
    monkeypatch.setattr(validation, "LARGEST_ARTIFACT", size)
    assert validation.validate(registry_file) == []

    monkeypatch.setattr(validation, "LARGEST_ARTIFACT", size - 1)
    (problem,) = validation.validate(registry_file)
    assert problem.path == "models.digits.artifact"
    assert problem.message == (
        f"has {size:,} bytes, but the one call that publishes it may take 15 minutes and copies at most "
        f"{size - 1:,}; make the model smaller, as `modelctl import --quantize` does"
    )
    assert "artifact:" in registry_file.read_text().splitlines()[problem.line - 1]


def test_digest_sorts_paths_by_their_bytes(tmp_path: Path) -> None:
    names = ["model.tflite", "Z", "a", "a-b", "a/b", "ä", "z"]
    names.remove("a")  # a file and a folder cannot have one name
    for name in names:
        (tmp_path / "artifact" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "artifact" / name).write_text(name)
    path = tmp_path / "registry.yaml"
    path.write_text("version: 1\nmodels:\n  digits:\n    {artifact: artifact, version: '1', runtime: litert}\n")

    lines = "".join(f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n" for name in sorted(names, key=str.encode))
    assert validation.load(path)["digits"]["digest"] == hashlib.sha256(lines.encode()).hexdigest()


@pytest.mark.parametrize("linked", [False, True], ids=["a-folder", "a-link"])
def test_a_path_may_hold_what_patterns_are_made_of(tmp_path: Path, linked: bool) -> None:
    """Terraform's `fileset` takes these characters for a pattern in the folder's own path, too."""
    odd = [*"*?\\[]{}~#", "[a]b", "{c,d}", "!(e)", "**", "$f", "%{g", "${h}", " i 'j\"", "ü"]
    place = tmp_path.joinpath(*odd)
    place.parent.mkdir(parents=True)
    if linked:
        (tmp_path / "elsewhere").mkdir()
        place.symlink_to(tmp_path / "elsewhere")
    folder = place / "models[1]*{2}"
    # What it matches as a pattern.
    for other in ("models1", "models1-2", "models[1]x{2}", "models-1-x-2-"):
        (place / other).mkdir(parents=True)
        (place / other / "wrong.tflite").touch()
    names = ["[x].txt", "labels?.txt", "model.tflite", "v*/{w}.bin"]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, encoding="utf-8")
    path = place / "registry.yaml"
    path.write_text(
        "version: 1\ndefaults: {runtime: litert}\nmodels:\n"
        '  folder: {artifact: "models[1]*{2}", version: "1"}\n'
        '  slash: {artifact: "./models[1]*{2}/", version: "1"}\n'
        '  file: {artifact: "models[1]*{2}/model.tflite", version: "1"}\n',
        encoding="utf-8",
    )

    models = validation.load(path)

    sums = {name: hashlib.sha256(name.encode()).hexdigest() for name in names}
    lines = "".join(f"{sums[name]}  {name}\n" for name in names)
    for model in ("folder", "slash"):
        assert {name: file["sha256"] for name, file in models[model]["files"].items()} == sums
        assert all(Path(file["source"]).samefile(folder / name) for name, file in models[model]["files"].items())
        assert models[model]["digest"] == hashlib.sha256(lines.encode()).hexdigest()
    assert {name: file["sha256"] for name, file in models["file"]["files"].items()} == {
        "model.tflite": sums["model.tflite"]
    }


def test_hooks_are_one_more_file_of_the_model_and_part_of_its_digest() -> None:
    models = validation.load(REGISTRIES / "valid/hooks.yaml")

    sources = {name: model["files"].get(".hooks.py", {}).get("source") for name, model in models.items()}
    assert {name: source and Path(source).name for name, source in sources.items()} == {
        "inherits": "hooks.py",
        "of-its-own": "other.py",
        "shares-the-artifact": "hooks.py",
        "without": None,
        "a-single-file": "hooks.py",
    }
    for model in models.values():
        sums = {
            name: hashlib.sha256(Path(file["source"]).read_bytes()).hexdigest() for name, file in model["files"].items()
        }
        assert {name: file["sha256"] for name, file in model["files"].items()} == sums
        assert model["digest"] == artifact.digest_of(sums)
    digests = {name: model["digest"] for name, model in models.items()}
    assert digests["inherits"] == digests["shares-the-artifact"]
    assert len(set(digests.values())) == 4


def test_a_file_in_an_artifact_whose_name_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "artifact").mkdir()
    (tmp_path / "artifact" / "model.tflite").touch()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/artifact/caf\xe9.txt")).touch()
    path = tmp_path / "registry.yaml"
    path.write_text("version: 1\nmodels:\n  digits:\n    {artifact: artifact, version: '1', runtime: litert}\n")

    (problem,) = validation.validate(path)
    assert (problem.path, problem.line) == ("models.digits.artifact", 4)
    assert problem.message == "contains a file whose name is not UTF-8 text; rename caf\ufffd.txt"


@pytest.mark.parametrize(("files", "refused"), [(5500, False), (6500, True)])
def test_an_artifact_of_more_files_than_one_call_can_name_is_refused(tmp_path: Path, files: int, refused: bool) -> None:
    folder = tmp_path / "artifact" / ("d" * 200) / ("e" * 200) / ("f" * 200) / ("g" * 200)
    folder.mkdir(parents=True)
    (tmp_path / "artifact/model.tflite").touch()
    for number in range(files):
        (folder / f"{number:0>200}").touch()
    path = tmp_path / "registry.yaml"
    path.write_text("version: 1\nmodels:\n  digits:\n    {artifact: artifact, version: '1', runtime: litert}\n")

    says = [re.sub("[0-9]{7}", "N", problem.message) for problem in validation.validate(path)]
    expected = (
        f"has {files + 1} files, whose names and checksums take N bytes; Lambda accepts N in the one call that "
        "publishes them, so put the model into fewer files, or give them shorter names"
    )
    assert says == [expected] * refused


def test_load_of_an_invalid_registry_says_all_its_problems() -> None:
    path = REGISTRIES / "invalid/rules/combinations.yaml"

    with pytest.raises(UserError) as refused:
        validation.load(path)

    assert str(refused.value).splitlines() == [validation.format_problem(path, p) for p in validation.validate(path)]


@pytest.mark.parametrize("path", INVALID, ids=name_of)
def test_keys_that_occur_twice_are_found_without_terraform_as_well(path: Path) -> None:
    expected = path.with_suffix(".expected").read_text().splitlines()
    found = [validation.format_problem(Path(path.name), problem) for problem in validation.duplicates(path)]

    assert found == [line for line in expected if re.search("is given (twice|[0-9]+ times)", line)]


def test_no_registry_has_no_keys_that_occur_twice(tmp_path: Path) -> None:
    assert validation.duplicates(tmp_path / "none.yaml") == []


def test_a_registry_that_is_not_there_is_a_problem_and_no_crash(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    no_file = "is not a regular file (a folder or pipe, say); the registry is a YAML file"
    for path, says in (
        (tmp_path / "none.yaml", "does not exist; give the path of the model registry"),
        (tmp_path, no_file),
        # It is not read: without a writer, that would never end.
        (tmp_path / "pipe", no_file),
    ):
        assert validation.validate(path) == [validation.Problem("", says, 1, 1)]
    with pytest.raises(UserError, match=r"the registry .*/pipe is not a regular file \(a folder or pipe, say\)"):
        registry_file.read(tmp_path / "pipe")


def test_a_pipe_in_the_place_of_a_sample_or_of_hooks_is_refused_and_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    os.mkfifo(tmp_path / "hooks.py")
    document = {"version": 1, "models": {"digits": GOOD | {"smoke": [{"file": "a.json"}], "hooks": "hooks.py"}}}
    (tmp_path / "registry.yaml").write_text(yaml.safe_dump(document))
    assert {problem.path: problem.message for problem in validation.validate(tmp_path / "registry.yaml")} == {
        "models.digits.smoke[0].file": '"a.json" is not a regular file (a folder or pipe, say); a sample is one file',
        "models.digits.hooks": '"hooks.py" is not a regular file (a folder or pipe, say); hooks are one Python file',
    }


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ('    version:\t"1"', True),
        ('    version: \t "1"', True),
        ("    route: {prefixes:\t[wine/]}", True),
        ("    route: {prefixes: [wine/,\treds/]}", True),
        ("    description: 'a:\tb'  # c:\td", False),
        ("    description: |\n      key:\tvalue\n      -\t[\ty", False),
    ],
)
def test_a_plan_alone_refuses_a_tab_between_values_and_not_in_a_text(tmp_path: Path, line: str, refused: bool) -> None:
    path = tmp_path / "registry.yaml"
    path.write_text(
        f"version: 1  # the\tversion:\t1\nmodels:\n  wine:\n{line}\n    artifact: wine\n    runtime: onnx\n"
    )
    problem = "is not valid YAML: a tab; use spaces; `modelctl validate` shows the line"
    assert validation.ask(path, "values(local.file_problems)") == ([problem] if refused else [])


def test_the_users_terraform_settings_play_no_part(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {
        "TF_WORKSPACE": "local",
        "TF_DATA_DIR": str(tmp_path / "data"),
        "TF_CLI_ARGS": "-no-such-option",
        "TF_CLI_CONFIG_FILE": str(tmp_path / "none"),
        "TF_VAR_registry_file": "other.yaml",
        "TF_LOG": "trace",
    }.items():
        monkeypatch.setenv(name, value)
    before = sorted(validation.MODULE.rglob("*"))

    assert validation.validate(REGISTRIES / "valid/minimal.yaml") == []

    assert list(tmp_path.iterdir()) == []
    assert sorted(validation.MODULE.rglob("*")) == before


def test_terraform_plan_alone_refuses_a_registry_with_every_problem_on_one_line(tmp_path: Path) -> None:
    path = REGISTRIES / "invalid/rules/artifacts.yaml"
    plan = [
        *(program.binary(), f"-chdir={validation.MODULE}", "plan", "-no-color", "-input=false"),
        *(f"-state={tmp_path}/state", f"-var=registry_file={path}"),
    ]
    settings_of_its_own = {"TF_DATA_DIR": str(tmp_path), "TF_CLI_CONFIG_FILE": os.devnull}
    env = program.clean_environment() | program.QUIET | settings_of_its_own

    done = subprocess.run(plan, env=env, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    shown = [line.lstrip("│ ") for line in done.stderr.splitlines()]
    assert [f"{p.path}: {p.message}" for p in validation.validate(path) if f"{p.path}: {p.message}" not in shown] == []
    assert done.stderr.count("Error:") == 1


GOOD = {"artifact": str(REGISTRIES / "artifacts" / "litert"), "version": "1", "runtime": "litert"}
GOOD_SAMPLE = {"file": str(REGISTRIES / "artifacts" / "litert" / "labels.txt")}
RULES: dict[str, Any] = SCHEMA["$defs"]
A_VALUE_OF_TYPE = {
    "string": "text",
    "integer": 7,
    "number": 1.5,
    "boolean": True,
    "null": None,
    "array": ["a"],
    "object": {"a": "b"},
}


def rules_of_a_model() -> Iterator[tuple[str, dict[str, Any]]]:
    """The path in a model of everything that has a value, with its rule; KEY stands for a name of the user's."""
    for field in RULES["model"]["properties"]:
        rule = RULES[field]
        yield field, rule
        for inner, inner_rule in rule.get("properties", {}).items():
            yield f"{field}.{inner}", inner_rule
            if "items" in inner_rule:
                yield f"{field}.{inner}[0]", inner_rule["items"]
        if "$ref" in rule.get("items", {}):
            yield f"{field}[0]", (item := named(rule["items"]))
            for inner, inner_rule in item["properties"].items():
                yield f"{field}[0].{inner}", inner_rule
        if rule.get("additionalProperties"):
            yield f"{field}.KEY", named(rule["additionalProperties"])


def named(reference: dict[str, str]) -> dict[str, Any]:
    """The rule that a reference names."""
    rule: dict[str, Any] = RULES[reference["$ref"].removeprefix("#/$defs/")]
    return rule


def fields(path: str, value: Any) -> dict[str, Any]:
    """A model's fields with the value at the path."""
    outer, _, inner = path.partition(".")
    if outer.endswith("[0]"):
        return {outer.removesuffix("[0]"): [GOOD_SAMPLE | {inner: value} if inner else value]}
    if inner.endswith("[0]"):
        others = {"size[0]": [8], "background[0]": [8, 8]}.get(inner, [])
        return {outer: {inner.removesuffix("[0]"): [value, *others]}}
    return {outer: {inner: value}} if inner else {outer: value}


def problems_by_model(models: dict[str, dict[str, Any]], folder: Path) -> dict[str, list[validation.Problem]]:
    """The problems of many models at once; every model is a good one but for the given fields."""
    path = folder / "registry.yaml"
    document = {"version": 1, "models": {name: GOOD | own for name, own in models.items()}}
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    found: dict[str, list[validation.Problem]] = {name: [] for name in models}
    for problem in validation.validate(path):
        if problem.path != "models":  # so many models have more routes than S3 allows
            found[problem.path.split(".")[1]].append(problem)
    return found


def test_a_value_of_a_wrong_type_is_refused_in_every_field_under_the_fields_own_path(tmp_path: Path) -> None:
    cases = [
        (path, value)
        for path, rule in rules_of_a_model()
        for kind, value in A_VALUE_OF_TYPE.items()
        if kind not in rule["type"] and not (kind == "integer" and "number" in rule["type"])
    ]
    assert len(cases) > 200
    models = {f"m{number}": fields(*case) for number, case in enumerate(cases)}
    found = problems_by_model(models, tmp_path)

    editor = Draft202012Validator({"$ref": "#/$defs/model", "$defs": RULES})
    for (path, value), (name, wrong) in zip(cases, models.items(), strict=True):
        assert [problem.path for problem in found[name]] == [f"models.{name}.{path}"], value
        assert found[name][0].message.startswith("must ")
        assert not editor.is_valid(GOOD | wrong)


@pytest.mark.parametrize(
    ("unknown", "models", "says"),
    [
        ("digit", ["digits", "wine"], "did you mean 'digits'?"),
        ("owls", ["digits", "wine"], "it has: digits, wine"),
        ("owls", [f"m{number}" for number in range(34)], "it has: m0, m1, m2 and 31 more"),
    ],
)
def test_a_model_that_is_not_known_is_answered_with_one_that_is_or_with_some(
    unknown: str, models: list[str], says: str
) -> None:
    assert validation.known(unknown, models) == says


def misspellings(name: str) -> set[str]:
    """The name with a letter missing, doubled, swapped or wrong, in capitals, with other or no word breaks, cut off."""
    middle = len(name) // 2
    before, letter, after = name[:middle], name[middle], name[middle + 1 :]
    return {
        before + after,
        before + letter + letter + after,
        before[:-1] + letter + before[-1:] + after,
        before + "x" + after,
        name.upper(),
        name.replace("_", "-"),
        name.replace("_", ""),
        name.partition("_")[0],
        f"{name}s",
    }


def test_every_misspelled_field_is_answered_with_the_field_that_was_meant(tmp_path: Path) -> None:
    known = {"": RULES["model"]["properties"]} | {
        "smoke[0]" if field == "sample" else field: rule["properties"]
        for field, rule in RULES.items()
        if field != "model" and "properties" in rule
    }
    cases = [
        (section, name, wrong)
        for section, names in known.items()
        for name in names
        for wrong in sorted(misspellings(name) - set(names))
        # What two fields begin with may mean either.
        if sum(other.startswith(f"{wrong}_") for other in names) < 2
    ]
    assert len(cases) > 200
    models = {
        f"m{number}": fields(f"{section}.{wrong}" if section else wrong, 1)
        for number, (section, _, wrong) in enumerate(cases)
    }
    found = problems_by_model(models, tmp_path)

    for name, (section, meant, wrong) in zip(models, cases, strict=True):
        path = f"models.{name}.{section}".removesuffix(".")
        assert [(problem.path, problem.message) for problem in found[name]] == [
            (path, f'unknown field "{wrong}" (did you mean "{meant}"?)')
        ]
