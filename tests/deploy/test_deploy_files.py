"""What is deployed is well-formed and says the same as the code."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_BIN = Path(sys.executable).parent


def _constraints() -> str:
    return (ROOT / "constraints.txt").read_text()


def test_constraints_pin_exact_versions_and_hold_no_address():
    lines = [line for line in _constraints().splitlines() if line and not line.startswith("#")]

    wrong = [line for line in lines if not re.match(r"^[a-z0-9._-]+==[\w.+!-]+( ; .+)?$", line)]

    assert wrong == []
    assert len(lines) > 100
    assert "://" not in _constraints()
    assert "onchain-agg" not in _constraints()


def _declared() -> set[str]:
    text = (ROOT / "pyproject.toml").read_text()
    return set(re.findall(r'^\s+"([a-z0-9-]+)(?:\[\w+\])?>=', text, re.MULTILINE))


def test_constraints_pin_every_declared_dependency():
    pinned = set(re.findall(r"^([a-z0-9._-]+)==", _constraints(), re.MULTILINE))

    assert {"click", "ruff"} <= _declared()
    assert _declared() - pinned == set()


@pytest.mark.parametrize(
    "document", ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "deploy/README.md"]
)
def test_every_make_command_in_a_document_is_a_target(document):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`|\s)make ([a-z-]+)\b(?=[ `\n])", (ROOT / document).read_text()))

    assert {"run", "test", "up", "down"} <= targets
    assert named - targets == set()


@pytest.mark.parametrize(
    "document",
    [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md"],
    ids=lambda path: path.name,
)
def test_every_link_in_a_document_leads_to_a_file(document):
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text())

    assert [link for link in links if not (document.parent / link).exists()] == []


def test_shell_scripts_pass_shellcheck():
    scripts = [ROOT / ".ci/run", *sorted((ROOT / "scripts").glob("*.sh"))]

    result = subprocess.run(
        [_BIN / "shellcheck", *scripts], capture_output=True, text=True, check=False
    )

    assert (result.returncode, result.stdout) == (0, "")
