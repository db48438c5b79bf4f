"""`modelctl validate`: what it says of a registry without problems that is better changed."""

import json
from pathlib import Path

import pytest

from modelctl import cli, paths

MODELS = paths.CHECKOUT / "models"


def write(file: Path, entries: list[str], defaults: str = "{}") -> Path:
    file.write_text(f"version: 1\ndefaults: {defaults}\nmodels:\n" + "".join(f"  {entry}\n" for entry in entries))
    return file


def entry(name: str, runtime: str, more: str = "") -> str:
    artifact = MODELS / ("digits" if runtime == "litert" else "wine") / "artifact"
    return f"{name}: {{artifact: {artifact}, version: '1', runtime: {runtime}{more}}}"


def test_models_whose_rows_are_not_known_are_named_in_one_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = [entry("seen", "tensorflow", ", batch: {rows: 0}"), entry("small", "litert")]
    entries += [entry(f"unseen-{number}", "tensorflow") for number in range(7)]
    registry = write(tmp_path / "registry.yaml", entries)

    assert cli.main(["validate", str(registry)]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "note: batch.rows is not set for unseen-0, unseen-1, unseen-2, unseen-3, unseen-4 and 2 more, so inputs do not "
        "share calls of the model; `modelctl import --measure unseen-0` measures whether they can, and sets it\n"
        f"{registry}: no problems\n"
    )
    assert cli.main(["validate", "--json", str(registry)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["problems"] == []
    assert len(document["notes"]) == 1


def test_a_registry_that_says_it_of_all_models_is_passed_in_silence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = write(tmp_path / "registry.yaml", [entry("wine", "tensorflow")], "{batch: {rows: 8}}")
    assert cli.main(["validate", str(registry)]) == 0
    assert capsys.readouterr().err == f"{registry}: no problems\n"


def test_what_only_an_account_with_larger_quotas_allows_is_noted_and_no_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = [entry("most", "litert", ", concurrency: {reserved: 891}"), entry("rest", "litert")]
    registry = write(tmp_path / "registry.yaml", entries, "{concurrency: {reserved: 10}}")
    assert cli.main(["validate", str(registry)]) == 0
    assert capsys.readouterr().err == (
        'note: with AWS\'s default quotas and event_way = "notification", a plan refuses this: models: reserve 901 '
        "executions in total (most 891, rest 10), but the account has 1000, and 100 must stay unreserved; lower "
        "concurrency.reserved or leave it out, or request more (Service Quotas: AWS Lambda, Concurrent executions, "
        "L-B99A9384)\n"
        f"{registry}: no problems\n"
    )


def test_routes_that_one_notification_cannot_hold_are_noted_unless_the_shell_names_another_way(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = str(paths.CHECKOUT / "tests/registries/valid/notifications.yaml")
    monkeypatch.delenv("TF_VAR_event_way", raising=False)
    assert cli.main(["validate", registry]) == 0
    assert capsys.readouterr().err.startswith(
        'note: with AWS\'s default quotas and event_way = "notification", a plan refuses this: models: need 101 '
        "notifications of the inputs bucket, one for each prefix with each suffix, but S3 allows 100 per bucket. "
    )
    monkeypatch.setenv("TF_VAR_event_way", "eventbridge")
    assert cli.main(["validate", registry]) == 0
    assert capsys.readouterr().err == f"{registry}: no problems\n"


def test_a_registry_with_problems_gets_these_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wine = entry("wine", "tensorflow", ", retries: 0, concurrency: {reserved: 901}")
    registry = write(tmp_path / "registry.yaml", [wine])
    assert cli.main(["validate", "--json", str(registry)]) == 1
    document = json.loads(capsys.readouterr().out)
    assert [problem["path"] for problem in document["problems"]] == ["models.wine.retries"]
    assert document["notes"] == []
