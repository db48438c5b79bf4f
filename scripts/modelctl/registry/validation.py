"""What is wrong with a registry and, if nothing is, what it says, according to the Terraform module `registry`.

The module holds the rules, so `terraform plan` refuses the same registries; this adds the line of every problem and
suggests a known field for an unknown one. Four rules are Python's own. No map has a key twice: Terraform shows the
module only the last value, so a plan finds only those of the outer levels, in the lines of the file (duplicates.tf).
The others are about files that Terraform cannot read. No artifact is larger than one call of weights_sync can copy. Its
files and links are what they should be (model_files.py, artifact_files.py). Labels fit the output that the model's file
declares (declared.py).
"""

import base64
import json
import os
import re
import subprocess
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from inference import model_files
from modelctl import paths
from modelctl.errors import UserError
from modelctl.registry import artifact_files, yaml_errors
from modelctl.terraform import plans, program

MODULE = paths.TERRAFORM / "modules" / "registry"

#: The most bytes that one call of weights_sync can copy: it may take 900 s, and keeps 60 of them. A file comes through
#: one connection, and S3 sends up to 90 MB a second through one
#: (https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance-design-patterns.html). Several are no
#: faster: users measured 50 to 90 MB a second for a whole function. EFS takes 500 MB a second from one client
#: (https://docs.aws.amazon.com/efs/latest/ug/performance.html).
LARGEST_ARTIFACT = (900 - 60) * 90 * 10**6

_YAML = "tag:yaml.org,2002:"
# How the module ends a message about YAML that it cannot read.
_SHOWS_THE_LINE = "; `modelctl validate` shows the line"

# What Terraform reads; "value" is a plain "=".
_TAGS = {
    f"{_YAML}{name}"
    for name in ("binary", "bool", "float", "int", "map", "merge", "null", "seq", "str", "timestamp", "value")
}

# Beyond this, Terraform takes minutes and gigabytes. A registry of a thousand models has a tenth of it.
_MOST_VALUES = 500_000

# The exponent has few digits, since the number is written out.
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]{1,3})?", re.IGNORECASE)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong."""

    #: Where, as in `models.digits.input.size[0]`; empty for the file itself.
    path: str
    message: str
    #: Both count from 1.
    line: int
    column: int
    #: The file of the folder that it is in, such as `registry.d/vision.yaml`; empty for the registry's own.
    file: str = ""


def folder(registry: Path) -> Path:
    """The folder beside a registry's file whose files belong to the registry: `registry.d` of `registry.yaml`."""
    name = registry.name
    return registry.with_name(f"{name.removesuffix('.yaml').removesuffix('.yml')}.d")


def files(registry: Path) -> list[Path]:
    """A registry's file, and those of its folder (file.tf).

    Raises:
        UserError: the file is one of another registry's folder.
    """
    if registry.absolute().parent.suffix == ".d":
        inside = registry.absolute().parent
        for suffix in (".yaml", ".yml"):
            if (owner := inside.with_suffix(suffix)).is_file():
                raise UserError(f"{registry} is a part of the registry {owner}; name that")
    within = folder(registry)
    return [registry, *(path for path in sorted(within.glob("*.yaml")) if not path.name.startswith("."))]


def validate(registry: Path) -> list[Problem]:
    """All problems of a registry in the order of its lines; `terraform plan` accepts one that has none.

    Raises:
        UserError: Terraform is missing or does not run.
    """
    return examine(registry).problems


@dataclass(frozen=True)
class Examined:
    """The problems, models and notes of a registry."""

    problems: list[Problem]
    #: As `load` returns them; none if there are problems.
    models: dict[str, Any]
    #: What AWS's default quotas or the way of announcing uploads do not allow, if there are no problems; a plan goes by
    #: the quotas of its account.
    unfit: list[str]


def examine(registry: Path) -> Examined:
    """All problems of a registry, and its models.

    Raises:
        UserError: Terraform is missing or does not run.
    """
    composed = {_named(registry, path): _compose(path) for path in files(registry)}
    endless = [
        Problem("", unreadable.message, *unreadable.place, file)
        for file, (_, unreadable) in composed.items()
        if unreadable and unreadable.endless
    ]
    if endless:
        return Examined(endless, {}, [])
    asked = (
        "problems = local.problems, models = local.models, unfit = local.quota_problems",
        "folders = { for name, _ in local._files : name => local._artifact_paths[local.merged[name].artifact] }",
        "files = { for name, files in local._files : name => { for path, file in files : path => file.source } }",
        "labels = local._labels, model_files = local._model_files, variables = local.variables",
        "in_files = { for name, files in local._files_by_model : name => files[0] }",
    )
    answer = ask(registry, f"{{ {', '.join(asked)} }}")
    answer["problems"] += _file_problems(answer)
    found = [*answer["problems"], *_label_problems(answer)]
    for problem in found:
        problem["file"] = _named(registry, Path(problem.get("file") or _file_of_model(answer, problem["path"])))
        if "also_in" in problem:
            problem["also_in"] = _named(registry, Path(problem["also_in"]))
    problems = _in_order(
        said
        for file, (document, unreadable) in composed.items()
        for said in _problems(
            document, unreadable, [problem for problem in found if problem["file"] == file], file, composed
        )
    )
    problems += [
        Problem("", problem["message"], 1, 1, problem["file"]) for problem in found if problem["file"] not in composed
    ]
    models: dict[str, Any] = {} if problems else answer["models"]
    for model in models.values():
        model["document"] = json.loads(model["variables"]["MODELYARD_MODEL"])
    unfit = [] if problems else [f"{problem['path']}: {problem['message']}" for problem in answer["unfit"]]
    return Examined(problems, models, unfit)


def duplicates(registry: Path) -> list[Problem]:
    """The keys that a map of the registry has twice, found without Terraform; none in a file that cannot be read."""
    found: list[Problem] = []
    for path in files(registry):
        document, unreadable = _compose(path)
        if document is not None and not unreadable:
            found += (replace(problem, file=_named(registry, path)) for problem in _duplicates(document))
    return _in_order(found)


def unreadable(text: str) -> Problem | None:
    """What keeps a text from being read as YAML, found without Terraform, and said as `validate` says it."""
    _, found = _compose_text(text)
    return Problem("", found.message, *found.place) if found and found.says else None


def load(registry: Path) -> dict[str, Any]:
    """The models by name in their normal form: the output `models` of the Terraform module, and each one's `document`.

    Raises:
        UserError: the registry has problems, which the message lists; or Terraform is missing or does not run.
    """
    examined = examine(registry)
    if examined.problems:
        raise UserError("\n".join(format_problem(registry, problem) for problem in examined.problems))
    return examined.models


def check(registry: Path) -> dict[str, Any]:
    """The models as `load` gives them, of a registry that is about to be applied.

    A plan would refuse the same problems, but later and without their lines.

    Raises:
        UserError: the registry has problems, which the message lists; or Terraform is missing or does not run.
    """
    examined = examine(registry)
    if examined.problems:
        lines = (format_problem(registry, problem) for problem in examined.problems)
        raise UserError("\n".join(["the registry cannot be applied:", *lines]))
    return examined.models


def file_of(registry: Path, problem: Problem) -> Path:
    """The file with the problem."""
    return registry.parent / problem.file if problem.file else registry


def format_problem(registry: Path, problem: Problem) -> str:
    """One line that editors and terminals make a link of: `model_registry.yaml:12:5: models.resnet: …`."""
    where = f"{file_of(registry, problem)}:{problem.line}:{problem.column}"
    return ": ".join(part for part in (where, problem.path, problem.message) if part)


def event_way() -> str:
    """How uploads are announced as far as the shell says; Terraform may read another way from a file of variables."""
    return os.environ.get("TF_VAR_event_way", "notification")  # noqa: SIM112 - Terraform's variables are lower-case


def ask(registry: Path, expression: str) -> Any:
    """The value of an expression of the module, from the console: without a provider it needs no `terraform init`.

    Raises:
        UserError: Terraform is missing or does not run.
    """
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                program.binary(),
                f"-chdir={MODULE}",
                "console",
                f"-state={folder}/terraform.tfstate",
                f"-var=registry_file={registry.absolute()}",
                f"-var=event_way={event_way()}",
            ],
            # Nothing of the platform's root module or of the user's settings plays a part: no workspace, no data
            # folder, no mirror of providers.
            env={
                **program.clean_environment(),
                **program.QUIET,
                "TF_DATA_DIR": folder,
                "TF_CLI_CONFIG_FILE": os.devnull,
            },
            # Base64, because the console escapes what it prints.
            input=f"base64encode(jsonencode({expression}))",
            capture_output=True,
            encoding="utf-8",
            # It shows the names of files, which need not be text in UTF-8.
            errors="replace",
            check=False,
        )
    # The exit status is no indication: a registry with problems fails an output's precondition, but gets an answer.
    answer = re.search(r'^"([A-Za-z0-9+/=]+)"$', done.stdout, re.MULTILINE)
    if answer is None:
        raise UserError(f"terraform could not check {registry}:\n{(done.stderr or done.stdout).strip()}")
    return json.loads(base64.b64decode(answer[1]))


def _named(registry: Path, path: Path) -> str:
    """How `Problem.file` names a file of a registry."""
    if path.absolute() == registry.absolute():
        return ""
    return path.absolute().relative_to(registry.absolute().parent).as_posix()


def _file_of_model(answer: Mapping[str, Any], path: str) -> str:
    """The file with the model that a path begins with."""
    names = (name for name in answer["in_files"] if f"{path}.".startswith(f"models.{name}."))
    return str(answer["in_files"][max(names, key=len)])


def _file_problems(answer: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Problems, as the module gives them, of files and links that Terraform cannot read."""
    for name, sources in answer["files"].items():
        files = {path: Path(source) for path, source in sources.items() if Path(source).is_file()}
        models = [Path(source).name for source in answer["model_files"][name]]
        model = models[0] if len(models) == 1 else None
        path = f"models.{name}.artifact"
        links = artifact_files.dangling(Path(answer["folders"][name]))
        for message in (*_too_large(files), *links, *model_files.problems(files, model)):
            yield {"path": path, "at": path, "message": message}


def _too_large(files: Mapping[str, Path]) -> Iterator[str]:
    """The message for an artifact that is too large to be published."""
    size = sum(file.stat().st_size for file in files.values())
    if size > LARGEST_ARTIFACT:
        yield (
            f"has {size:,} bytes, but the one call that publishes it may take 15 minutes and copies at most "
            f"{LARGEST_ARTIFACT:,}; make the model smaller, as `modelctl import --quantize` does"
        )


def _label_problems(answer: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A problem, as the module gives them, per model without any whose labels do not fit the output of its file."""
    labels = {
        name: text
        for name, text in answer["labels"].items()
        if not any(f"{problem['path']}.".startswith(f"models.{name}.") for problem in answer["problems"])
    }
    if labels:
        # Imported here: what has no labels does not wait for numpy.
        from modelctl.registry import declared

        yield from declared.label_problems(answer["variables"], answer["model_files"], labels)


def _problems(
    document: yaml.Node | None,
    unreadable: "_Unreadable | None",
    found: list[dict[str, Any]],
    file: str,
    composed: Mapping[str, "tuple[yaml.Node | None, _Unreadable | None]"],
) -> list[Problem]:
    """What the module found in one of a registry's files, with its places, and the keys that occur twice in it."""
    problems = [] if document is None or unreadable else list(_duplicates(document))
    known_duplicates = {problem.path for problem in problems}
    if unreadable and unreadable.says and document is None and all(problem["path"] for problem in found):
        # Terraform reads the file, but nobody can tell what occurs twice in it.
        problems.append(Problem("", f"is YAML that modelctl cannot read: {unreadable.says}", *unreadable.place))
    for problem in found:
        path, message, place = problem["path"], problem["message"], _locate(document, problem["at"])
        if "times" in problem and path in known_duplicates:
            continue
        if not path and unreadable:
            place = unreadable.place
            message = unreadable.message if unreadable.says else message
        if not path:
            message = message.removesuffix(_SHOWS_THE_LINE)
        if "known" in problem and (known := meant(problem["key"], problem["known"])):
            message = f'unknown field "{problem["key"]}" (did you mean "{known}"?)'
        if "also_in" in problem:
            line, _ = _locate(composed[problem["also_in"]][0], problem["at"])
            message = re.sub(r"is also in ([^\s;]+)", rf"is also in \1:{line}", message)
        problems.append(Problem(path, message + _overlooked(message), *place))
    return [replace(problem, file=file) for problem in problems]


def _overlooked(message: str) -> str:
    """What is easily overlooked in the name or value that a message quotes, to be said behind it."""
    quoted = re.search('"(.+)"', message)
    if quoted is None:
        return ""
    if re.match(r'(unknown field|must be a map, not) "[^\s:"]+:[^\s/]', message):
        return "; after a colon comes a space"
    if message.startswith('must be a list, not "-'):
        return "; after a - comes a space"
    strange = yaml_errors.lookalike(quoted[1])
    return f"; {strange}" if strange else ""


def _in_order(problems: Iterable[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: (problem.file, problem.line, problem.column))


def meant(unknown: str, known: list[str]) -> str | None:
    """The known name that an unknown one may stand for, if there is one."""
    letters = {name: re.sub("[^a-z0-9]", "", name.lower()) for name in (unknown, *known)}
    likely = [name for name in known if letters[name] == letters[unknown]]
    likely += [name for name in known if _differ_by_a_letter(letters[name], letters[unknown])]
    if len(unknown) > 2:
        likely += [name for name in known if name.startswith(unknown) or unknown.startswith(name)]
    return likely[0] if likely else None


def known(unknown: str, models: Iterable[str], says: str = "it has") -> str:
    """What to say of a model that is not among the known ones: the one that may be meant, or which there are."""
    names = list(models)
    likely = meant(unknown, names)
    return f"did you mean {likely!r}?" if likely else f"{says}: {plans.some(names)}"


def _differ_by_a_letter(one: str, other: str) -> bool:
    """Whether a letter is added, missing or wrong, or two are swapped: the same with one letter left out of each."""

    def shortened(text: str) -> set[str]:
        return {text, *(text[:index] + text[index + 1 :] for index in range(len(text)))}

    return abs(len(one) - len(other)) <= 1 and bool(shortened(one) & shortened(other))


def _duplicates(document: yaml.Node) -> Iterator[Problem]:
    """The keys that a map has more than once, each where it is last: Terraform uses that value."""
    passed: set[int] = set()

    def inside(node: yaml.Node, path: str) -> Iterator[Problem]:
        if id(node) in passed:  # An alias, whose anchor has been looked at.
            return
        passed.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            for index, entry in enumerate(node.value):
                yield from inside(entry, f"{path}[{index}]")
        elif isinstance(node, yaml.MappingNode):
            marks: dict[str, list[yaml.Mark]] = {}
            merged: dict[str, yaml.Mark] = {}
            for key, value in node.value:
                name = _key(key)
                if name != "<<":
                    marks.setdefault(name, []).append(key.start_mark)
                # A merge replaces the keys above it, for Terraform; in YAML a map's own keys win.
                for inner in _merged(value) if name == "<<" else ():
                    if inner in marks or inner in merged:
                        marks.setdefault(inner, [merged[inner]] if inner in merged else []).append(key.start_mark)
                    merged.setdefault(inner, key.start_mark)
                yield from inside(value, f"{path}.{name}" if path else name)
            for name, places in marks.items():
                if len(places) > 1:
                    yield Problem(f"{path}.{name}" if path else name, _given_twice(places), *_place(places[-1]))

    return inside(document, "")


def _merged(node: yaml.Node) -> set[str]:
    """The keys that a map has if it is merged into another one by `<<`."""
    keys: set[str] = set()
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            keys |= _merged(value) if _key(key) == "<<" else {_key(key)}
    return keys


def _given_twice(places: list[yaml.Mark]) -> str:
    """What is wrong with a key that occurs in these places, with every line."""
    *lines, last = sorted({mark.line + 1 for mark in places})
    where = f"lines {', '.join(map(str, lines))} and {last}" if lines else f"line {last}"
    times = "twice" if len(places) == 2 else f"{len(places)} times"
    return f"is given {times}, on {where}, and only the last would count; keep one, and remove or rename the others"


class _Loader(yaml.SafeLoader):
    """Takes an anchor that is given anew, as YAML and Terraform do; PyYAML refuses it."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose the next node, which an anchor may name."""
        if not self.check_event(yaml.AliasEvent):
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]
            self.anchors.pop(event.anchor, None)
        return super().compose_node(parent, index)

    def compose_document(self) -> yaml.Node | None:
        """Compose a document, unless its aliases stand for more values than Terraform could hold."""
        document = super().compose_document()
        if _values(document) > _MOST_VALUES:
            raise _EndlessError(
                f"has more than {_MOST_VALUES:,} values once each alias (*name) is replaced by what it stands for; use "
                "fewer aliases within the values of other aliases"
            )
        return document


class _EndlessError(yaml.YAMLError):
    """A document whose aliases stand for too many values."""


def _values(document: yaml.Node | None) -> int:
    """How many values a document has without aliases; one inside of what it stands for counts as none."""
    known: dict[int, int] = {}

    def count(node: yaml.Node) -> int:
        if id(node) not in known:
            known[id(node)] = 0
            known[id(node)] = 1 + sum(map(count, _children(node)))
        return known[id(node)]

    return count(document) if document is not None else 0


def _children(node: yaml.Node) -> list[yaml.Node]:
    """The keys and values of a map, or the entries of a list."""
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def parse(text: str) -> Any:
    """The value of a registry's text, as Terraform reads it.

    Raises:
        yaml.YAMLError: it is not valid YAML.
    """
    return yaml.load(text, _Loader)  # noqa: S506  (a SafeLoader)


@dataclass(frozen=True)
class _Unreadable:
    """What keeps a file from being read.

    Args:
        place: where.
        says: why, if there is more to say of it than the module does.
        foreign: whether it is YAML, and Terraform alone does not read it.
        endless: whether Terraform would not come to an end with it.
    """

    place: tuple[int, int]
    says: str | None = None
    foreign: bool = False
    endless: bool = False

    @property
    def message(self) -> str:
        """Why, as a sentence about the file."""
        if self.endless:
            return str(self.says)
        return f"is not {'YAML that Terraform reads' if self.foreign else 'valid YAML'}: {self.says}"


def _compose(registry: Path) -> tuple[yaml.Node | None, _Unreadable | None]:
    """The file's tree with the lines of its nodes, and what keeps it from being read; neither if there is no file."""
    try:
        # Terraform could not read a pipe once more.
        content = registry.read_bytes() if registry.is_file() else None
    except OSError:
        content = None
    if content is None:
        return None, None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return None, _Unreadable(_place_after(content[: error.start].decode("utf-8-sig")))
    return _compose_text(text)


def _compose_text(text: str) -> tuple[yaml.Node | None, _Unreadable | None]:
    try:
        document = yaml.compose(text, _Loader)
        if document is None:
            return None, None
        foreign = _newer_version(text) or _foreign(document)
    except _EndlessError as error:
        return None, _Unreadable((1, 1), str(error), endless=True)
    except yaml.YAMLError as error:
        return None, _Unreadable(*yaml_errors.explain(text, error))
    except RecursionError:
        return None, _Unreadable((1, 1), "lists or maps are nested too deeply")
    return document, _Unreadable(*foreign, foreign=True) if foreign else None


def _place(mark: yaml.Mark | None) -> tuple[int, int]:
    """Line and column, which a mark counts from 0."""
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _place_after(text: str) -> tuple[int, int]:
    return text.count("\n") + 1, len(text) - text.rfind("\n")


def _newer_version(text: str) -> tuple[tuple[int, int], str] | None:
    """A directive of another version of YAML than Terraform knows, which stands above the document."""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and line[0] not in "#%":
            return None
        if re.match(r"%YAML\s+(?!1\.1\b)", line):
            return (number, 1), f"{line.strip()}, since Terraform knows only 1.1; remove this line"
    return None


def _foreign(document: yaml.Node) -> tuple[tuple[int, int], str | None] | None:
    """The place of what PyYAML reads first and Terraform does not, and what it is; None for what the module names."""
    passed: set[int] = set()

    def first(node: yaml.Node, above: tuple[yaml.Node, ...]) -> tuple[yaml.Node, str | None] | None:
        if any(node is one for one in above):
            return node, "the value that begins here contains an alias of itself; write the alias elsewhere"
        if node.tag not in _TAGS:
            tag = node.tag.replace(_YAML, "!!")
            return node, f"the tag {tag}; put text that begins with ! in quotes"
        if node.tag == f"{_YAML}float" and node.value.lower().lstrip("+-") in (".nan", ".inf"):
            return node, None if "inf" in node.value.lower() else "not a number (.nan), which no field takes"
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key, yaml.ScalarNode):
                return key, "a name that is a list or a map; put text that begins with [ or { in quotes"
            if key.tag == f"{_YAML}null":
                return key, "a name that is null; put it in quotes"
            if key.tag == f"{_YAML}merge" and not isinstance(value, yaml.MappingNode):
                kind = "a list" if isinstance(value, yaml.SequenceNode) else "a single value"
                return key, f"`<<` with {kind}, since it merges one map, as in `<<: *name`"
        for child in _children(node):
            if id(child) not in passed and (found := first(child, (*above, node))) is not None:
                return found
        passed.add(id(node))
        return None

    found = first(document, ())
    return (_place(found[0].start_mark), found[1]) if found else None


def _locate(node: yaml.Node | None, path: str) -> tuple[int, int]:
    """The position of a path: its key, its list entry, or the closest existing part of it."""
    mark = node.start_mark if node is not None else None
    while path:
        steps = _steps(node, path)
        # The longest, since a key may hold a dot; of a key that stands twice the last, since it is the one that counts.
        name, mark_of_step, child = max(
            steps, key=lambda step: (len(step[0]), step[1].line, step[1].column), default=(None, None, None)
        )
        if name is None:
            break
        node, mark, path = child, mark_of_step, path[len(name) :].removeprefix(".")
    return _place(mark)


def _steps(node: yaml.Node | None, path: str) -> Iterator[tuple[str, yaml.Mark, yaml.Node]]:
    """The children of a node that a path may begin with."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = _key(key)
            if path == name or path.startswith((f"{name}.", f"{name}[")):
                yield name, key.start_mark, value
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            if path.startswith(f"[{index}]"):
                yield f"[{index}]", value.start_mark, value


def _key(node: yaml.Node) -> str:
    """A key as Terraform reads it: unless in quotes, it may be a boolean (`on` is "true") or a number (1.0 is "1")."""
    text = unicodedata.normalize("NFC", str(node.value))
    if isinstance(node, yaml.ScalarNode) and node.style is None:
        for boolean, words in {"true": ("y", "yes", "on", "true"), "false": ("n", "no", "off", "false")}.items():
            if text.lower() in words and text in (text.lower(), text.capitalize(), text.upper()):
                return boolean
        if _NUMBER.fullmatch(text):
            number = f"{Decimal(text):f}"
            return number.rstrip("0").removesuffix(".") if "." in number else number
    return text
