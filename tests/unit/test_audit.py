"""`make audit` says what it knows: clean, vulnerable, or not looked up."""

from pathlib import Path

import pytest

import audit
from modelctl.packaging import environments

# What pip-audit 2 says; it ends with status 1 in both cases.
CLEAN = "echo 'No known vulnerabilities found' >&2"
VULNERABLE = "echo 'Found 1 known vulnerability in 1 package' >&2; echo 'pillow 9.0.0 PYSEC-1 9.0.1'; exit 1"
NOT_FOUND = "echo 'ERROR:pip_audit._cli:numpy: Dependency not found on PyPI' >&2; exit 1"


@pytest.mark.parametrize(
    ("pip_audit", "status", "lines"),
    [
        (CLEAN, 0, ["requirements.lock: no known vulnerabilities"]),
        (VULNERABLE, 1, ["pillow 9.0.0 PYSEC-1 9.0.1", "error: known vulnerabilities in requirements.lock, "]),
        (NOT_FOUND, 1, ["error: requirements.lock could not be looked up, so nothing is known about it "]),
    ],
    ids=["clean", "vulnerable", "not looked up"],
)
def test_it_says_what_it_knows(
    pip_audit: str,
    status: int,
    lines: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    program = tmp_path / "bin" / "pip-audit"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{pip_audit}\n")
    program.chmod(0o755)
    monkeypatch.setattr(environments, "ensure", lambda name, requirements: tmp_path)
    assert audit.main() == status
    said = capsys.readouterr().err
    assert [line for line in lines if line not in said] == []
    if pip_audit == NOT_FOUND:
        assert len(said.splitlines()) == 1
        assert "run this where the JSON API of pypi.org answers" in said
