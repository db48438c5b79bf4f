"""No registry is so odd that Terraform fails on it: it is refused with its problems, or it can be planned."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from modelctl import paths, programs, runtimes
from modelctl.registry import validation
from modelctl.terraform import program
from unit.test_registry import REGISTRIES, SCHEMA

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

    problems = validation.validate(path)  # a failing Terraform would be a UserError

    assert all(problem.message and problem.line >= 1 and problem.column >= 1 for problem in problems)
    if not Draft202012Validator(SCHEMA).is_valid(document):
        assert problems, "what an editor refuses must not be applied"


LINES = st.sampled_from(
    [
        *(
            "version: 1",
            "models:",
            "  digits:",
            "  digits: {",
            "    artifact: ../artifacts/litert",
            "    retries: 3",
            "}",
        ),
        *(
            "defaults: &all",
            "  <<: *all",
            "  - a",
            "    env: {A_B: |",
            "      x",
            "? a",
            ": b",
            "# a",
            "---",
            "\t",
            "'",
            '"',
        ),
        *(
            "  on:",
            "  null: ~",
            "    version: 1.10",
            "    timeout_s: .inf",
            "    tags: !!set {a}",
            "   retries:",
            "é: [",
            "",
        ),
    ]
)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(lines=st.lists(LINES, max_size=12))
def test_no_text_is_so_odd_that_terraform_fails_on_it(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    path = tmp_path_factory.mktemp("odd") / "registry.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")

    assert validation.validate(path), "none of these is a whole registry"


def test_a_document_that_python_cannot_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "registry.yaml"
    path.write_text(f"version: 1\nmodels: {'[' * 2000}{']' * 2000}\n")

    assert "lists or maps are nested too deeply" in validation.validate(path)[0].message
    assert validation.duplicates(path) == []


# As they may be written; some of them Terraform reads alike.
KEYS = [
    *("on", "ON", "oN", "yes", "Yes", "yEs", "y", "true", "True", "tRue", "No", "OFF", "n", '"on"', "'yes'", "null1"),
    *("1", '"1"', "1.0", "+1", "01", "010", "1.50", ".5", "-.5", "5.", "0", "-0", "00", "0.0", "1e3", "1E+3", "1.5e-2"),
    *("1_000", "1:30", "-", "+", "e1", "1e", "1.2.3", "123456789012345678901234567890", "0.1", "1e99"),
    *("Büro", "Bu\u0308ro", "=", "a b", "..", "-1"),
]


def test_keys_are_read_as_terraform_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "registry.yaml"
    models = "".join(f"  m{number}:\n    {key}: 1\n" for number, key in enumerate(KEYS))
    path.write_text(f"version: 1\nmodels:\n{models}")

    problems = [problem for problem in validation.validate(path) if problem.message.startswith("unknown field")]

    # A key that was read otherwise would not be found, and the model's line shown.
    assert [problem.line for problem in problems] == [4 + 2 * number for number in range(len(KEYS))]

    read = Counter(problem.message.split('"')[1] for problem in problems)
    path.write_text("".join(f"{key}: 1\n" for key in KEYS))
    twice = {
        problem.path: len(re.findall(r"\d+", problem.message.partition("on lines")[2]))
        for problem in validation.duplicates(path)
    }
    assert twice == {key: times for key, times in read.items() if times > 1}


MAPS = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["", "a.b", "size", "on", "true", "1", "[0]", "é"]), inner, max_size=4)
    ),
    max_leaves=15,
)


def maps(node: yaml.Node | None) -> Iterator[yaml.MappingNode]:
    """Every map of a document that has keys."""
    if isinstance(node, yaml.SequenceNode):
        for entry in node.value:
            yield from maps(entry)
    elif isinstance(node, yaml.MappingNode) and node.value:
        yield node
        for _, value in node.value:
            yield from maps(value)


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    document=st.dictionaries(st.just("all"), MAPS, min_size=1),
    flow=st.sampled_from([None, False, True]),
    data=st.data(),
)
def test_a_key_that_occurs_twice_is_found_wherever_it_is_and_no_other(
    tmp_path_factory: pytest.TempPathFactory, document: Any, flow: bool | None, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("odd") / "registry.yaml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True, default_flow_style=flow), encoding="utf-8")
    assert validation.duplicates(path) == []

    root = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)
    entries = data.draw(st.sampled_from(list(maps(root)))).value
    key, _ = data.draw(st.sampled_from(entries))
    entries.append((yaml.ScalarNode(key.tag, key.value), yaml.ScalarNode("tag:yaml.org,2002:str", "last")))
    path.write_text(yaml.serialize(root, Dumper=yaml.SafeDumper, allow_unicode=True), encoding="utf-8")

    (problem,) = validation.duplicates(path)
    assert problem.path.endswith(key.value)
    last, *below = path.read_text(encoding="utf-8").splitlines()[problem.line - 1 :]
    assert re.match(r"\S+\s*: last", "\n".join([last[problem.column - 1 :], *below]))
    assert f"{problem.line}, and only the last would count" in problem.message


# What the schema allows, up to its limits; other rules may still refuse it.
WORDS = st.text(max_size=30)
VERSION = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", fullmatch=True)
PREFIX = st.from_regex(r"([A-Za-z0-9_.-]{1,30}/){1,3}", fullmatch=True)
VALUES = {
    "description": st.text(max_size=256),
    "signature": st.text(min_size=1, max_size=30),
    "route": st.fixed_dictionaries(
        {},
        optional={
            "prefixes": st.lists(
                st.from_regex(r"([A-Za-z0-9_.-]{1,30}/){1,3}", fullmatch=True),
                min_size=1,
                max_size=2,
                unique=True,
            ),
            "suffixes": st.lists(st.sampled_from([".png", ".jpg", "=@(1)", "."]), max_size=2, unique=True),
        },
    ),
    "output": st.sampled_from(
        [
            {},
            {"labels": "labels.txt"},
            {"labels": "labels.txt", "top_k": 1000, "threshold": 1, "activation": "sigmoid"},
            {"top_k": None, "threshold": None},
        ]
    ),
    "limits": st.fixed_dictionaries(
        {},
        optional={
            "bytes": st.none() | st.integers(1, 64 * 2**20),
            "decompressed_bytes": st.integers(1, 5 * 2**30),
            "pixels": st.none() | st.integers(1, 10**9),
            "records": st.integers(1, 10**6),
        },
    ),
    "hooks": st.sampled_from([None, str(REGISTRIES / "hooks" / "hooks.py")]),
    "memory_mb": st.integers(128, 10240),
    "timeout_s": st.integers(1, 900),
    "ephemeral_mb": st.integers(512, 10240),
    "architecture": st.sampled_from(["x86_64", "arm64"]),
    "batch": st.fixed_dictionaries({}, optional={"size": st.integers(1, 10000), "window_s": st.integers(0, 300)}),
    "concurrency": st.fixed_dictionaries(
        {}, optional={"maximum": st.integers(2, 1000), "reserved": st.none() | st.integers(2, 30)}
    ),
    "retries": st.integers(1, 1000),
    "alarms": st.fixed_dictionaries(
        {},
        optional={
            "dead_letters": st.none() | st.integers(1, 10**6),
            "queue_age_s": st.none() | st.integers(1, 345600),
            "errors": st.integers(1, 10**6),
            "throttles": st.integers(1, 10**6),
            "input_errors": st.none() | st.integers(1, 10**6),
            "input_error_share": st.none() | st.floats(0.01, 1),
        },
    ),
    "env": st.dictionaries(st.from_regex(r"[A-Za-z][A-Za-z0-9_]{1,30}", fullmatch=True), WORDS, max_size=3),
    "tags": st.dictionaries(st.text(min_size=1, max_size=128), st.text(max_size=256), max_size=3),
    "input": st.sampled_from(
        [
            {},
            {"format": "csv", "columns": ["a", "${b}"]},
            {"format": "text"},
            {"format": "image", "mode": "RGB", "mean": [0.485, 0, -1e300], "std": [1, 1e-300, 2], "layout": "NCHW"},
            {"format": "image", "size": [1, 8192], "mode": "RGBA", "scale": 1e-300},
            {"format": "image", "size": None, "mode": None, "scale": 10**300},
        ]
    ),
}
ARTIFACTS = st.sampled_from(
    [("litert", "litert"), ("litert/model.tflite", "litert"), ("keras", "tensorflow"), ("onnx", "onnx")]
)
MODEL = st.builds(
    lambda artifact, fields: {"artifact": str(REGISTRIES / "artifacts" / artifact[0]), "runtime": artifact[1]} | fields,
    ARTIFACTS,
    st.fixed_dictionaries({"version": VERSION}, optional=VALUES),
)
Example = TypeVar("Example")
NAME = st.from_regex(r"[a-z][a-z0-9-]{1,39}", fullmatch=True)


def examples(strategy: st.SearchStrategy[Example], count: int) -> list[Example]:
    """So many examples, the same ones in every run."""
    found: list[Example] = []

    @settings(
        max_examples=count,
        phases=[Phase.generate],
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(example: Example) -> None:
        found.append(example)

    collect()
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of the platform's root module and of the table that it reads, without tests: of these, Terraform runs only
    those in the module's own folder.
    """
    root = tmp_path / "terraform"
    shutil.copytree(
        paths.TERRAFORM, root, ignore=shutil.ignore_patterns(".terraform", "*.tfstate*", "*.tftest.hcl", "examples")
    )
    table = runtimes.FILE.relative_to(paths.CHECKOUT)
    (tmp_path / table).parent.mkdir(parents=True)
    shutil.copy(runtimes.FILE, tmp_path / table)
    return root


def test_a_registry_that_passes_validation_does_not_fail_in_the_plan(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "registry.yaml"
    models = dict(examples(st.tuples(NAME, MODEL), 60))
    while True:
        document = {"version": 1, "models": models}
        path.write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False), encoding="utf-8")
        problems = validation.validate(path)
        if not problems:
            break
        for refused in {problem.path.split(".")[1] for problem in problems}:
            del models[refused]
    assert len(models) >= 20, "with too few of them this proves nothing"

    plan(root, path, models)  # a failing Terraform would be a UserError


def plan(root: Path, registry_file: Path, models: Collection[str]) -> None:
    """Plan the whole platform; the provider is mocked, but checks every argument as it would without.

    Raises:
        UserError: Terraform refused.
    """
    mocks = (paths.TERRAFORM / "tests" / "root.tftest.hcl").read_text().partition("\n# What the packages must be")[0]
    packages = {
        "lambda_runtime": "python3.13",
        "code": {
            name: {"path": f"{name}.zip", "sha256": "1", "code_sha256": "1"} for name in ("inference", "weights_sync")
        },
        "layers": {},
        "models": {name: {"image_uri": None, "code": "inference", "layer": None} for name in models},
        "problems": [],
    }
    (root / "tests" / "plan.tftest.hcl").write_text(
        f"{mocks}\noverride_module {{\n  target  = module.packages\n  outputs = {json.dumps(packages)}\n}}\n"
        f'run "plan" {{\n  command = plan\n  variables {{\n    registry_file = "{registry_file}"\n  }}\n}}\n'
    )
    env = {**program.clean_environment(), **program.providers(), **program.QUIET}
    for command in (["init", "-backend=false"], ["test"]):
        programs.run("the plan fails", program.binary(), f"-chdir={root}", *command, "-no-color", env=env)
