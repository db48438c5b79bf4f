"""A registry of several files: its own, and those of the folder next to it."""

import json
from pathlib import Path

import pytest

from modelctl import cli, paths
from modelctl.errors import UserError
from modelctl.registry import registry_file, validation

ARTIFACT = paths.CHECKOUT / "tests/registries/artifacts/litert"


def entry(name: str, more: str = "") -> str:
    return f'  {name}: {{artifact: {ARTIFACT}, version: "1"{more}}}\n'


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """Two models in the registry's main file, and two in its folder."""
    file = tmp_path / "registry.yaml"
    file.write_text("version: 1\ndefaults: {runtime: litert, retries: 7}\nmodels:\n" + entry("own") + entry("other"))
    part(file, "speech", entry("words"), "{retries: 9, memory_mb: 512}")
    part(file, "vision", "  # Ours.\n" + entry("faces", ", retries: 8"))
    return file


def part(registry: Path, name: str, entries: str, defaults: str = "{}") -> Path:
    file = registry.with_suffix(".d") / f"{name}.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"version: 1\ndefaults: {defaults}\nmodels:\n{entries}")
    return file


def problems(registry: Path) -> list[str]:
    found = validation.validate(registry)
    return [validation.format_problem(registry, problem).replace(f"{registry.parent}/", "") for problem in found]


def test_the_nearest_default_counts(registry: Path) -> None:
    models = validation.load(registry)
    assert {name: (model["retries"], model["memory_mb"]) for name, model in models.items()} == {
        "own": (7, 1024),
        "other": (7, 1024),
        "words": (9, 512),
        "faces": (8, 1024),
    }


def test_paths_count_from_the_folder_of_the_registrys_own_file(registry: Path) -> None:
    (registry.parent / "hooks.py").touch()
    part(registry, "more", entry("hooked", ", hooks: hooks.py"))
    assert ".hooks.py" in validation.load(registry)["hooked"]["files"]


def test_all_models_may_be_in_the_folder(registry: Path) -> None:
    registry.write_text("version: 1\ndefaults: {runtime: litert}\n")
    assert validation.load(registry).keys() == {"words", "faces"}


def test_every_problem_names_its_file_and_line_and_a_name_that_occurs_twice_both_places(registry: Path) -> None:
    words = entry("words", ", retries: 0")
    part(registry, "speech", words + entry("own"), "{retrie: 9}")
    part(registry, "vision", entry("faces") + entry("faces"))
    assert problems(registry) == [
        'registry.d/speech.yaml:2:12: defaults: unknown field "retrie" (did you mean "retries"?)',
        f"registry.d/speech.yaml:4:{words.index('retries') + 1}: models.words.retries: must be from 1 to 1000, not 0",
        "registry.d/speech.yaml:5:3: models.own: is also in registry.yaml:4; keep one of the two, and remove or "
        "rename the other",
        "registry.d/vision.yaml:5:3: models.faces: is given twice, on lines 4 and 5, and only the last would count; "
        "keep one, and remove or rename the others",
    ]


def test_a_plan_names_the_files_too(registry: Path) -> None:
    part(registry, "speech", entry("words", ", retries: 0") + entry("own"))
    asked = '[for problem in local.problems : join(": ", [local.file_names[problem.file], problem.path])]'
    assert validation.ask(registry, asked) == [
        "registry.d/speech.yaml: models.own",
        "registry.d/speech.yaml: models.words.retries",
    ]


def test_what_modelctl_alone_finds_names_its_file(registry: Path) -> None:
    folder = registry.parent / "linked"
    folder.mkdir()
    (folder / "model.tflite").write_bytes((ARTIFACT / "model.tflite").read_bytes())
    (folder / "gone").symlink_to("nowhere")
    part(registry, "vision", f"  faces: {{artifact: {folder}, version: '1'}}\n")
    (problem,) = problems(registry)
    assert problem.startswith("registry.d/vision.yaml:4:11: models.faces.artifact: ")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("models: [\n", "1:9: is not valid YAML: the [ that begins here is not closed"),
        ("", "1:1: is empty; it must have the fields version and models"),
    ],
)
def test_a_file_that_cannot_be_read_is_the_only_problem(registry: Path, text: str, says: str) -> None:
    part(registry, "vision", entry("faces", ", retries: 0"))
    (registry.with_suffix(".d") / "speech.yaml").write_text(text)
    assert problems(registry) == [f"registry.d/speech.yaml:{says}"]


def test_a_file_without_models_or_version_is_refused(registry: Path) -> None:
    (registry.with_suffix(".d") / "speech.yaml").write_text("defaults: {}\n")
    assert problems(registry) == [
        'registry.d/speech.yaml:1:1: the field "models" is missing',
        'registry.d/speech.yaml:1:1: the field "version" is missing',
    ]


@pytest.mark.parametrize("name", ["more.yml", "MORE.YAML", "team/more.yaml"])
def test_a_file_that_looks_like_a_part_and_is_none_is_a_problem(registry: Path, name: str) -> None:
    file = registry.with_suffix(".d") / name
    file.parent.mkdir(exist_ok=True)
    file.touch()
    assert problems(registry) == [
        f"registry.d/{name}:1:1: is not read: a registry file must be directly in registry.d, and its name must end "
        "with .yaml; rename, move or delete this one"
    ]


def test_hidden_and_other_files_are_not_looked_at(registry: Path) -> None:
    folder = registry.with_suffix(".d")
    for name in ("README.md", ".speech.yaml.swp", ".hidden.yaml"):
        (folder / name).write_text("{")
    assert problems(registry) == []


def test_a_part_is_no_registry(registry: Path) -> None:
    with pytest.raises(UserError, match=rf"speech.yaml is a part of the registry {registry}; name that"):
        validation.validate(registry.with_suffix(".d") / "speech.yaml")


def test_validate_shows_the_file_of_each_problem(registry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = part(registry, "speech", entry("words", ", retries: 0"))
    assert cli.main(["validate", "--json", str(registry)]) == 1
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert (problem["file"], problem["line"], problem["path"]) == (str(file), 4, "models.words.retries")


def test_remove_and_rename_edit_the_file_that_has_the_model(registry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vision = registry.with_suffix(".d") / "vision.yaml"
    untouched = {path: path.read_text() for path in validation.files(registry) if path != vision}
    assert cli.main(["rename", "faces", "people", "--registry", str(registry)]) == 0
    assert capsys.readouterr().out == f"{vision}: models.faces is now models.people\n"
    assert vision.read_text() == "version: 1\ndefaults: {}\nmodels:\n  # Ours.\n" + entry("people", ", retries: 8")

    part(registry, "vision", entry("faces") + entry("people"))
    assert cli.main(["remove", "people", "--registry", str(registry)]) == 0
    assert vision.read_text() == "version: 1\ndefaults: {}\nmodels:\n" + entry("faces")
    assert {path: path.read_text() for path in untouched} == untouched
    assert sorted(path.name for path in registry.parent.iterdir()) == ["registry.d", "registry.yaml"]


def test_a_name_that_another_file_has_is_not_given_anew(registry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_text() for path in validation.files(registry)}
    assert cli.main(["rename", "faces", "own", "--registry", str(registry)]) == 1
    said = capsys.readouterr().err
    assert "models.faces cannot be renamed to own: nothing was changed" in said
    assert "models.own: is also in registry.yaml:4" in said
    assert {path: path.read_text() for path in validation.files(registry)} == before
    assert sorted(path.name for path in registry.parent.iterdir()) == ["registry.d", "registry.yaml"]


def test_of_an_unknown_model_the_nearest_in_any_file_is_named(registry: Path) -> None:
    with pytest.raises(UserError, match=r"registry\.yaml has no model 'face'; did you mean 'faces'\?"):
        registry_file.holding(registry, "face")


def test_a_new_entry_goes_where_it_is_told_to(registry: Path) -> None:
    new = registry.with_suffix(".d") / "text.yaml"
    models = registry_file.write(registry, lambda text: text + entry("letters"), str, new)
    assert models["letters"]["retries"] == 7
    assert new.read_text() == "version: 1\nmodels:\n" + entry("letters")


@pytest.mark.parametrize("name", ["elsewhere.yaml", "registry.d/text.yml", "registry.d/team/text.yaml"])
def test_a_new_entry_goes_nowhere_else(registry: Path, name: str) -> None:
    with pytest.raises(
        UserError, match=r"is not a part of the registry .*: name a file such as .*registry.d/team.yaml"
    ):
        registry_file.check_place(registry, registry.parent / name)
