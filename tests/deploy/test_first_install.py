"""The first install says of each example where it stands, and of each secret what it holds."""

import re
import subprocess
from collections import defaultdict

import pytest

from tests.manifests.rendered import DEPLOY, ENVIRONMENTS, built, of_kind

ROOT = DEPLOY.parent
PAGE = (DEPLOY / "runbooks/first-install.md").read_text()
# What no real deployment has: names of documentation, and zeros that something is to replace.
_EXAMPLE = re.compile(
    r"\bexample\b|111122223333|203\.0\.113|0123456789abcdef|0{40}|eu-west-1|1{8}-|2{8}-"
)


def _rows(heading):
    """Return the cells of the table whose head begins with *heading*."""
    table = re.search(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    return [[cell.strip() for cell in row.split(" | ")] for row in _lines(table[1])]


def _lines(table):
    return [line.removeprefix("| ").removesuffix(" |") for line in table.splitlines()]


def _searches():
    return {cells[0]: cells[2].strip("`") for cells in _rows("Example")}


def _found(command):
    """Return file and line of what *command* finds, but for pages, which only talk about it."""
    result = subprocess.run(
        ["/bin/bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    places = (line.split(":", 2)[:2] for line in result.stdout.splitlines())
    return {(file, int(number)) for file, number in places if not file.endswith(".md")}


@pytest.mark.parametrize("name", _searches())
def test_an_example_stands_where_the_runbook_looks_for_it(name):
    command = _searches()[name]

    assert command.startswith("grep -rn")
    assert _found(command)


def test_no_example_is_left_that_the_runbook_does_not_find():
    known = set().union(*(_found(command) for command in _searches().values()))
    files = [
        path
        for folder in (DEPLOY, ROOT / ".github")
        for path in folder.rglob("*")
        if path.is_file()
        and path.suffix != ".md"
        and path.name != "requirements.txt"
        # The cases of the alerts, and a script's usage.
        and "monitoring/tests" not in str(path)
        and path.suffix != ".sh"
    ]

    left = {
        (str(path.relative_to(ROOT)), number)
        for path in files
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if _EXAMPLE.search(line) and not line.lstrip().startswith("#")
    }
    assert len(left) > 50
    assert left - known == set()


def _told():
    """Return the properties of each entry of the store, by environment, as the runbook has them."""
    told = defaultdict(dict)
    for entry, holds, environments in _rows("Entry"):
        for environment in environments.split(", "):
            told[environment][entry.strip("`")] = set(re.findall(r"`([^`]+)`", holds))
    return told


def _asked(environment):
    """Return the same as the ExternalSecrets ask; of an entry that is taken whole, nothing."""
    asked = defaultdict(set)
    folders = [f"overlays/{environment}"]
    if environment == "prod":
        folders.append("overlays/prod/grafana")
    for one in (one for folder in folders for one in of_kind(built(folder), "ExternalSecret")):
        for data in one["spec"].get("data", []):
            entry = data["remoteRef"]["key"].rsplit("/", 1)[1]
            asked[entry].add(data["remoteRef"]["property"])
        for source in one["spec"].get("dataFrom", []):
            asked[source["extract"]["key"].rsplit("/", 1)[1]] |= set()
    return asked


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_runbook_lists_every_secret_of_an_environment_and_what_it_holds(environment):
    told, asked = _told()[environment], _asked(environment)
    charts = (DEPLOY / "argocd/apps/controllers/kube-prometheus-stack.yaml").read_text()
    for entry in re.findall(rf"onchain-agg/{environment}/([a-z-]+)", charts):
        asked[entry] |= set()

    assert told.keys() == asked.keys()
    assert {
        entry: asked[entry] - told[entry] for entry in asked if asked[entry] - told[entry]
    } == {}
