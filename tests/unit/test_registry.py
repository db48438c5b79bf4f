"""The registry: what the Terraform module refuses and gives, as `modelctl` and `terraform plan` show it."""

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from modelctl import registry, terraform
from modelctl.errors import UserError

REGISTRIES = Path(__file__).resolve().parents[1] / "registries"
VALID = sorted((REGISTRIES / "valid").glob("*.yaml"))
INVALID = sorted((REGISTRIES / "invalid").glob("*/*.yaml"))
SCHEMA = json.loads((registry.MODULE / "model_registry.schema.json").read_text())


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

    return with_text_keys(yaml.safe_load(path.read_text(encoding="utf-8-sig")))


@pytest.mark.parametrize("path", VALID, ids=name_of)
def test_a_valid_registry_has_no_problems(path: Path) -> None:
    assert registry.validate(path) == []


@pytest.mark.parametrize("path", INVALID, ids=name_of)
def test_an_invalid_registry_has_exactly_the_expected_problems_with_their_lines(path: Path) -> None:
    found = [registry.format_problem(Path(path.name), problem) for problem in registry.validate(path)]

    assert found == path.with_suffix(".expected").read_text().splitlines()


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


def test_load_gives_every_field_with_its_default() -> None:
    models = registry.load(REGISTRIES / "valid/minimal.yaml")

    digits = models["digits"]
    assert list(models) == ["digits"]
    assert {key: value for key, value in digits.items() if key not in ("digest", "files")} == {
        "description": "",
        "version": "1",
        "runtime": "litert",
        "signature": "serving_default",
        "route": {"prefixes": ["digits/"], "suffixes": []},
        "input": {"format": "json", "size": None, "mode": None, "scale": None},
        "output": {"labels": None, "top_k": None},
        "memory_mb": 1024,
        "timeout_s": 60,
        "ephemeral_mb": 512,
        "architecture": "x86_64",
        "batch": {"size": 10, "window_s": 1},
        "concurrency": {"maximum": 10, "reserved": None},
        "retries": 5,
        "env": {},
        "tags": {},
    }


def test_defaults_are_merged_key_by_key_and_null_takes_one_away() -> None:
    models = registry.load(REGISTRIES / "valid/defaults.yaml")

    merged = models["merged"]
    assert merged["input"] == {"format": "image", "size": [16, 24], "mode": "L", "scale": 0.5}
    assert merged["batch"] == {"size": 4, "window_s": 0}
    assert merged["env"] == {"LOG_LEVEL": "DEBUG", "PLACE": "north", "COLOUR": "blue"}
    assert merged["tags"] == {"team": "vision", "owner": "ann"}
    assert models["taken-away"]["input"] == {"format": "csv", "size": None, "mode": None, "scale": None}
    assert models["taken-away"]["output"] == {"labels": None, "top_k": None}


def test_memory_follows_the_runtime_unless_it_is_given() -> None:
    models = registry.load(REGISTRIES / "valid/defaults.yaml")

    memory = {name: model["memory_mb"] for name, model in models.items()}
    assert memory == {"merged": 3008, "taken-away": 3008, "other-runtime": 1024, "own-memory": 4096}


def test_digest_and_files_are_those_of_the_artifact_without_hidden_files() -> None:
    folder = REGISTRIES / "artifacts/saved_model"
    model = registry.load(REGISTRIES / "valid/defaults.yaml")["taken-away"]

    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    assert names == ["fingerprint.pb", "saved_model.pb", "variables/variables.index"]
    assert {name: file["sha256"] for name, file in model["files"].items()} == sums
    assert {name: Path(file["source"]).resolve() for name, file in model["files"].items()} == {
        n: folder / n for n in names
    }
    assert model["digest"] == hashlib.sha256("".join(f"{sums[n]}  {n}\n" for n in names).encode()).hexdigest()

    with_hidden_files = registry.load(REGISTRIES / "valid/minimal.yaml")["digits"]
    assert list(with_hidden_files["files"]) == ["labels.txt", "model.tflite"]


def test_digest_sorts_paths_by_their_bytes(tmp_path: Path) -> None:
    names = ["model.tflite", "Z", "a", "a-b", "a/b", "ä", "z"]
    names.remove("a")  # a file and a folder cannot have one name
    for name in names:
        (tmp_path / "artifact" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "artifact" / name).write_text(name)
    path = tmp_path / "registry.yaml"
    path.write_text("version: 1\nmodels:\n  digits:\n    {artifact: artifact, version: '1', runtime: litert}\n")

    lines = "".join(f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n" for name in sorted(names, key=str.encode))
    assert registry.load(path)["digits"]["digest"] == hashlib.sha256(lines.encode()).hexdigest()


def test_load_of_an_invalid_registry_says_all_its_problems() -> None:
    path = REGISTRIES / "invalid/rules/combinations.yaml"

    with pytest.raises(UserError) as refused:
        registry.load(path)

    assert str(refused.value).splitlines() == [registry.format_problem(path, p) for p in registry.validate(path)]


def test_a_registry_that_is_not_there_is_a_problem_and_no_crash(tmp_path: Path) -> None:
    for path, says in ((tmp_path / "none.yaml", "there is no such file"), (tmp_path, "is a folder")):
        (problem,) = registry.validate(path)
        assert says in problem.message
        assert (problem.path, problem.line, problem.column) == ("", 1, 1)


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
    before = sorted(registry.MODULE.rglob("*"))

    assert registry.validate(REGISTRIES / "valid/minimal.yaml") == []

    assert list(tmp_path.iterdir()) == []
    assert sorted(registry.MODULE.rglob("*")) == before


def test_terraform_plan_alone_refuses_a_registry_with_every_problem_on_one_line(tmp_path: Path) -> None:
    path = REGISTRIES / "invalid/rules/artifacts.yaml"
    plan = [
        *(terraform.binary(), f"-chdir={registry.MODULE}", "plan", "-no-color", "-input=false"),
        *(f"-state={tmp_path}/state", f"-var=registry_file={path}"),
    ]
    settings_of_its_own = {"TF_DATA_DIR": str(tmp_path), "TF_CLI_CONFIG_FILE": os.devnull}
    env = terraform.clean_environment() | terraform.QUIET | settings_of_its_own

    done = subprocess.run(plan, env=env, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    shown = [line.lstrip("│ ") for line in done.stderr.splitlines()]
    assert [f"{p.path}: {p.message}" for p in registry.validate(path) if f"{p.path}: {p.message}" not in shown] == []
    assert done.stderr.count("Error:") == 1


# What users and generators of YAML come up with; whole documents are among it.
ODD_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        ["", "*", "..", "a/b/", "${name}", "%{if", "litert", "image", "s3://bucket/", "../artifacts/litert"]
    )
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["", "a.b", "size", "on", "1"]), inner, max_size=3)
    ),
    max_leaves=5,
)
FIELDS = st.sampled_from([*SCHEMA["$defs"]["model"]["properties"], "", "memory_mbb", "input.size", "env.A"])
SECTIONS = st.dictionaries(FIELDS, ODD_VALUES, max_size=6) | ODD_VALUES
MODELS = st.dictionaries(st.sampled_from(["digits", "digits-dlq", "on", "a.b", ""]), SECTIONS, max_size=3) | ODD_VALUES
DOCUMENTS = (
    st.fixed_dictionaries({"version": st.just(1), "models": MODELS}, optional={"defaults": SECTIONS}) | ODD_VALUES
)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(document=DOCUMENTS)
def test_no_registry_is_so_odd_that_terraform_fails_on_it(
    tmp_path_factory: pytest.TempPathFactory, document: Any
) -> None:
    path = tmp_path_factory.mktemp("odd") / "registry.yaml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False), encoding="utf-8")

    for problem in registry.validate(path):  # a failing Terraform would be a UserError
        assert problem.message
        assert problem.line >= 1
