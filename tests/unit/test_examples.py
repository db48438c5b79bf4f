"""Every example in the docs works; CONTRIBUTING.md ("Change the docs") says how each language is checked."""

import argparse
import functools
import json
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.session
import hcl2
import pytest
import yaml
from awscli.customizations.argrename import ARGUMENT_RENAMES
from botocore import xform_name

import demo
import docs
from inference.events import UploadedObject
from inference.result_documents import NEVER_TAKEN_UP, result_document
from modelctl import cli, paths
from modelctl.registry import validation
from unit.pages import BLOCKS, PAGES, SOURCES, Block, without_blocks

LANGUAGES = ("sh", "console", "yaml", "json", "python", "hcl", "text")
TOP = [path.name for path in paths.CHECKOUT.iterdir()]
TARGETS = re.findall(r"^([a-z-]+):", (paths.CHECKOUT / "Makefile").read_text(), re.MULTILINE)
SUBCOMMANDS = {
    "apply",
    "console",
    "destroy",
    "import",
    "init",
    "output",
    "plan",
    "providers",
    "state",
    "untaint",
    "workspace",
}
#: The parser of each command of modelctl.
PARSERS: Mapping[str, argparse.ArgumentParser] = {
    name: command
    for action in cli.parser()._actions
    if isinstance(action, argparse._SubParsersAction)
    for name, command in action.choices.items()
}
OPTIONS = {
    name: {option for action in command._actions for option in action.option_strings}
    for name, command in PARSERS.items()
}
#: Files that the examples have you make.
YOURS = re.compile(r"models/faces/|terraform/(backend_override\.tf|terraform\.tfvars)$")
#: Variables of other programs, and of the tests.
KNOWN_VARIABLES = {
    *("MODELYARD_SEED", "PATH", "PYTHONPATH"),
    *("AWS_PROFILE", "AWS_REGION", "TF_WORKSPACE", "TF_CLI_ARGS_apply"),
}


def of(*languages: str) -> list[Any]:
    """The cases of a test of all examples in these languages."""
    return [pytest.param(block, id=str(block)) for block in BLOCKS if block.language in languages]


def test_every_example_is_in_a_language_that_is_checked() -> None:
    assert [str(block) for block in BLOCKS if block.language not in LANGUAGES] == []
    assert {block.mark for block in BLOCKS} == {None, "scikit-learn", "runs on the local stack"}


# Commands


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command in shell lines, those in `$(…)` before the one that they are an argument of."""
    for line in text.replace("\\\n", " ").splitlines():
        outer = line
        while inner := re.search(r"\$\(([^()]*)\)", outer):
            yield from commands(inner[1])
            outer = outer.replace(inner[0], "VALUE")
        words: list[str] = []
        lexer = shlex.shlex(outer, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        for word in (*lexer, ";"):
            if set(word) <= set("|&;"):
                if words:
                    yield words
                words = []
            else:
                words.append(word)


def shell(block: Block) -> str:
    """The lines of an example that are typed."""
    if block.language == "sh":
        return block.text
    return "\n".join(re.findall(r"^\$ (.+)$", block.text, re.MULTILINE))


@pytest.mark.parametrize("block", of("sh", "console"))
def test_each_command_is_one_that_its_program_takes(block: Block) -> None:
    assert takes(shell(block))


def takes(lines: str) -> list[list[str]]:
    """The commands in lines of the shell; fails if one of them would."""
    folder = paths.CHECKOUT
    typed = list(commands(lines))
    for words in typed:
        while words and (assigned := re.fullmatch(r"(\w+)=.*", words[0])):
            known_variable(assigned[1])
            words = words[1:]
        program, *arguments = words[: words.index(">")] if ">" in words else words
        if program == "cd":
            folder /= arguments[0]
            assert folder.is_dir()
            continue
        for word in arguments:
            known_path(word)
        CHECKS[program](arguments, folder)
    return typed


def known_variable(name: str) -> None:
    """Fail if an example sets a variable that nobody reads."""
    if name.startswith("TF_VAR_"):
        declared(name.removeprefix("TF_VAR_"), paths.TERRAFORM, "variable")
    else:
        assert name in KNOWN_VARIABLES or f'"{name}"' in SOURCES, f"nobody reads {name}"


def known_path(word: str) -> None:
    """Fail if a word is a path in the checkout, and nothing is there."""
    path = re.split("::|#", word)[0]
    top, slash, _ = path.partition("/")
    if slash and top in TOP and not YOURS.match(path):
        assert list(paths.CHECKOUT.glob(path)), f"there is no {path}"


def declared(name: str, folder: Path, kind: str) -> None:
    """Fail if the Terraform files of a folder have no such variable or output."""
    text = "".join(file.read_text() for file in folder.glob("*.tf"))
    assert f'{kind} "{name}" {{' in text, f"{folder} has no {kind} {name}"


def modelctl(arguments: Sequence[str], _: Path) -> None:
    """Modelctl's own parser takes the arguments."""
    assert cli.parser().parse_args(arguments).run


def make(arguments: Sequence[str], _: Path) -> None:
    """The Makefile has the target, and reads the variables."""
    makefile = (paths.CHECKOUT / "Makefile").read_text()
    # In another folder it is a checkout all the same.
    for word in arguments[2:] if arguments[0] == "-C" else arguments:
        name, equals, _value = word.partition("=")
        assert (f"$({name})" in makefile) if equals else name in TARGETS, word


def terraform(arguments: Sequence[str], folder: Path) -> None:
    """Terraform has the subcommand, and the module the variables and outputs."""
    if arguments[0].startswith("-chdir="):
        folder, arguments = folder / arguments[0].removeprefix("-chdir="), arguments[1:]
    subcommand, *options = arguments
    assert folder.is_dir()
    assert subcommand in SUBCOMMANDS
    for name in re.findall(r"-var[= ]'?(\w+)=", " ".join(options)):
        declared(name, folder, "variable")
    if subcommand == "output" and not options[-1].startswith("-"):
        declared(options[-1], folder, "output")


@functools.cache
def service(name: str) -> Any:
    """What AWS's SDK knows of a service."""
    return botocore.session.get_session().get_service_model(name)


def aws(arguments: Sequence[str], _: Path) -> None:
    """The service has the operation, and the operation the parameters."""
    name, operation, *options = arguments
    if name == "s3":
        assert operation in ("cp", "ls", "mb", "sync")
        return
    name = {"s3api": "s3"}.get(name, name)
    (method,) = (
        service(name).operation_model(known)
        for known in service(name).operation_names
        if xform_name(known, "-") == operation
    )
    parameters = {xform_name(member, "-") for member in method.input_shape.members}
    taken = {f"--{ARGUMENT_RENAMES.get(f'{name}.{operation}.{parameter}', parameter)}" for parameter in parameters}
    assert {word for word in options if word.startswith("--")} <= taken | {"--query", "--output", "--region"}


def export(arguments: Sequence[str], _: Path) -> None:
    """Somebody reads the variables."""
    for word in arguments:
        known_variable(word.partition("=")[0])


def anything(_arguments: Sequence[str], _: Path) -> None:
    """The shell's own; the paths among the arguments are checked already."""


CHECKS = {
    "modelctl": modelctl,
    "make": make,
    "terraform": terraform,
    "aws": aws,
    "export": export,
    **dict.fromkeys(("cp", "echo", "eval", "git", "printf", "python", "sleep"), anything),
    **dict.fromkeys((".venv/bin/pytest", ".venv/bin/python"), anything),
}


def test_wrong_commands_are_found() -> None:
    wrong = {
        "modelctl predict": SystemExit,
        "modelctl status --until 3h": SystemExit,
        "make tests": AssertionError,
        "make soak SECONDS=3": AssertionError,
        "terraform -chdir=terraform output -raw input_bucket": AssertionError,
        "terraform -chdir=terraform apply -var forced_destroy=true": AssertionError,
        "terraform -chdir=terraform refresh": AssertionError,
        "cp models/digits/samples/nothing.png .": AssertionError,
        "aws sns subscribe --topic arn": AssertionError,
        "aws sns subscribes": ValueError,
        "TF_VAR_event_ways=both modelctl status": AssertionError,
        "export MODELYARD_NOTHING=1": AssertionError,
        'eval "$(modelctl envs)"': SystemExit,
        "kubectl get pods": KeyError,
    }
    for line, error in wrong.items():
        with pytest.raises(error):
            takes(line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(paths.CHECKOUT)))
def test_commands_and_files_that_a_sentence_names_exist(page: Path) -> None:
    for code in re.findall(r"`([^`\n]+)`", without_blocks(page).replace("\n  ", " ").replace("\n", " ")):
        if code.startswith("modelctl "):
            knows(code)
        elif code.startswith("make "):
            make(re.sub(r"=[\w\[].*", "=", code).replace("…", "").split()[1:], paths.CHECKOUT)
        elif code.startswith("terraform "):
            for name in re.findall(r"-var '?(\w+)=", code):
                declared(name, paths.TERRAFORM, "variable")
        elif setting := re.match(r"([a-z_]+) = [\w\"\[{]", code):
            declared(setting[1], paths.TERRAFORM, "variable")
        elif not set(code) & set(" <…*{"):
            known_path(code)


def knows(code: str) -> None:
    """Fail if modelctl has not this command or one of these options; arguments may be left out."""
    _, name, *words = code.split()
    assert name in OPTIONS, code
    assert {word for word in words if word.startswith("--")} <= OPTIONS[name], code


@pytest.mark.parametrize("name", PARSERS)
def test_the_help_of_each_command_has_an_example_that_it_takes(name: str) -> None:
    _, _, examples = str(PARSERS[name].epilog).partition("example:\n")
    assert any(words[:2] == ["modelctl", name] for words in takes(examples))


def test_the_demo_ends_with_commands_that_exist() -> None:
    shown = re.findall(r"^  (.+?)   ", demo.GO_ON, re.MULTILINE)
    assert takes("\n".join(shown))


def test_commands_that_a_message_names_exist() -> None:
    named = re.findall(r"`(modelctl [^`\n]+)`", SOURCES)
    assert "modelctl up" in named
    for code in named:
        knows(code)


# Registries


def test_the_registries_are_without_a_problem(tmp_path: Path) -> None:
    folder = tmp_path / "registry.d"
    folder.mkdir()
    (tmp_path / "registry.yaml").write_text("version: 1\n")
    for number, case in enumerate(of("yaml")):
        written = completed(yaml.safe_load(case.values[0].text), number)
        (folder / f"{number}.yaml").write_text(yaml.safe_dump(written))
        for model in written["models"].values():
            files(tmp_path, model)
    assert validation.validate(tmp_path / "registry.yaml") == []


def completed(shown: dict[str, Any], number: int) -> dict[str, Any]:
    """A registry around what an example shows, with names that no other example has."""
    if "models" in shown:
        models = {f"{name}-{number}": model for name, model in shown["models"].items()}
        return {"version": 1, **shown, "models": models}
    model = {"artifact": "models/any/artifact", "version": "1", "runtime": "litert"}
    if "defaults" in shown:
        return {"version": 1, **shown, "models": {f"any-{number}": model}}
    return {"version": 1, "models": {f"any-{number}": {**model, **shown}}}


def files(folder: Path, model: Mapping[str, Any]) -> None:
    """Make the files that a model names."""
    example = paths.CHECKOUT / "tests" / "registries" / "artifacts" / "litert"
    artifact = folder / model["artifact"]
    if not artifact.exists():
        shutil.copytree(example, artifact)
    samples = model.get("smoke", [])
    if samples:
        expected = [row for sample in samples for row in sample.get("predictions", [sample])]
        (artifact / "labels.txt").write_text("\n".join(row["label"] for row in expected))
    for name in (model.get("hooks"), *(sample["file"] for sample in samples)):
        if name:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("A = 1\n")


# Documents


#: What an event of EventBridge has: https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
EVENT = {
    **dict.fromkeys(("version", "id", "detail-type", "source", "account", "time", "region", "resources")),
    "detail": {
        **dict.fromkeys(("version", "request-id", "requester", "source-ip-address", "reason")),
        "bucket": {"name": None},
        "object": dict.fromkeys(("key", "size", "etag", "version-id", "sequencer")),
    },
}


def result() -> Any:
    """A result as functions write it."""
    served = SimpleNamespace(name="digits", version="1", digest="…")
    uploaded = UploadedObject("inputs", "digits/7.png", "…", "…", "0", 312, "2026-11-28T07:00:00Z")
    return json.loads(result_document(served, uploaded, b"[]", NEVER_TAKEN_UP, "…", 0))


def keys(document: Any) -> Any:
    """The names in a document, without its values; the predictions are the model's."""
    if isinstance(document, dict):
        return {name: None if name == "predictions" else keys(value) for name, value in document.items()}
    return None


def has(document: Any, shown: Any) -> bool:
    """Whether a document has all the names that are shown."""
    return shown is None or all(name in document and has(document[name], shown[name]) for name in shown)


@pytest.mark.parametrize("block", of("json"))
def test_the_documents_have_the_fields_that_programs_get(block: Block) -> None:
    shown = json.loads(block.text)
    if "model" in shown:
        assert keys(shown) == keys(result())
    else:
        assert has(EVENT, keys(shown))


# The rest


@pytest.mark.parametrize("block", of("python"))
def test_python_is_what_another_test_runs(block: Block) -> None:
    hooks = paths.CHECKOUT / "models" / "numbers" / "hooks.py"
    assert block.mark == "scikit-learn" or block.text == hooks.read_text()


@pytest.mark.parametrize("block", of("hcl"))
def test_hcl_is_generated_or_can_be_parsed(block: Block) -> None:
    if block.page != docs.REGISTRY_PAGE:
        parsed = hcl2.loads(block.text)
        assert parsed
        for name, value in parsed.items():
            # Blocks are lists of what is in them; the rest is a file of variables.
            if not isinstance(value, list):
                declared(name, paths.TERRAFORM, "variable")


@pytest.mark.parametrize("block", of("text"))
def test_the_files_in_a_picture_exist(block: Block) -> None:
    for word in re.findall(r"[\w./]+", block.text):
        known_path(word)
        if word.endswith((".py", ".tf")) and "/" not in word:
            assert list(paths.FUNCTIONS.rglob(word)) or list(paths.TERRAFORM.rglob(word)), word
