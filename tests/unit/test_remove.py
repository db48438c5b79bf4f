"""`modelctl remove` and `modelctl rename`: what they write, what they say, and what they refuse."""

import json
from pathlib import Path

import pytest

from modelctl import cli, paths

DIGITS = paths.CHECKOUT / "models" / "digits" / "artifact"


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """A registry of two models with comments, one of which has a route of its own."""
    file = tmp_path / "registry.yaml"
    file.write_text(
        "# Ours.\nversion: 1\nmodels:\n  # Reads scans.\n"
        f'  digits:  # by us\n    artifact: {DIGITS}\n    version: "1"\n    runtime: litert\n'
        "  # The same with a route.\n"
        f'  routed: {{artifact: {DIGITS}, version: "1", runtime: litert, route: {{prefixes: [r/, s/]}}}}\n'
    )
    return file


def test_remove_takes_the_entry_out_and_says_what_an_apply_will_do(
    registry: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = registry.read_text()
    assert cli.main(["remove", "digits", "--registry", str(registry)]) == 0
    assert registry.read_text() == before.replace(before[before.index("  digits:") : before.index("  # The same")], "")
    said = capsys.readouterr()
    assert said.out == f"{registry}: models.digits is removed\n"
    assert said.err == (
        "its files stay next to the registry, and its inputs and results stay in their buckets\n"
        "the next apply deletes its queues, function, role, log and alarms; it refuses while the queues hold inputs\n"
    )
    assert list(registry.parent.iterdir()) == [registry]


def test_rename_changes_the_name_and_says_that_it_is_a_removal_and_an_addition(
    registry: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = registry.read_text()
    assert cli.main(["rename", "digits", "numbers", "--registry", str(registry)]) == 0
    assert registry.read_text() == before.replace("  digits:", "  numbers:")
    said = capsys.readouterr()
    assert said.out == f"{registry}: models.digits is now models.numbers\n"
    assert said.err == (
        "an apply treats this as a removal and an addition: numbers gets its own queues, function and weights, and "
        "the queues and the function of digits are deleted\n"
        "new results appear under numbers/ in the results bucket; existing ones stay under digits/\n"
        "upload under numbers/; numbers does not serve the inputs that are still in the queues of digits, "
        "and an apply refuses until those are served or discarded\n"
    )


def test_programs_get_one_document(registry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["rename", "routed", "other", "--registry", str(registry), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    says = document.pop("says")
    assert document == {
        "registry": str(registry),
        "file": str(registry),
        "renamed": {"from": "routed", "to": "other"},
        "prefixes": ["r/", "s/"],
    }
    assert says[-1].startswith("upload under r/ or s/; ")
    assert cli.main(["remove", "other", "--registry", str(registry), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["removed"], document["models"], len(document["says"])) == ("other", ["digits"], 2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("remove", "digit"), "error: the registry {registry} has no model 'digit'; did you mean 'digits'?\n"),
        (("remove", "birds"), "error: the registry {registry} has no model 'birds'; it has: digits, routed\n"),
        (("rename", "digits", "routed"), "error: there is a model 'routed' already\n"),
        (
            ("rename", "digits", "My_model"),
            "error: models.digits cannot be renamed to My_model: nothing was changed, since the registry would then "
            "have problems:\n  models.My_model: a model's name consists of 2 to 40 of the characters a-z, 0-9 and "
            '"-", and begins with a letter\n',
        ),
    ],
)
def test_what_cannot_be_is_refused_and_the_registry_stays(
    registry: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str
) -> None:
    before = registry.read_bytes()
    assert cli.main([*arguments, "--registry", str(registry)]) == 1
    assert capsys.readouterr().err == says.replace("{registry}", str(registry))
    assert registry.read_bytes() == before
    assert list(registry.parent.iterdir()) == [registry]


def test_the_last_model_is_not_removed(registry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["remove", "routed", "--registry", str(registry)]) == 0
    before = registry.read_bytes()
    assert cli.main(["remove", "digits", "--registry", str(registry)]) == 1
    assert capsys.readouterr().err.endswith(
        "error: models.digits cannot be removed: nothing was changed, since the registry would then have problems:\n"
        "  models: must be a map with at least one model: an empty registry would destroy all models "
        "(if that is the intention, use terraform destroy)\n"
    )
    assert registry.read_bytes() == before
