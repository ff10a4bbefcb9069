"""Runbooks and pages of deploy name what there is: files, commands, workloads, costs."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from onchain_agg.cli import main
from tests.manifests import argocd
from tests.manifests.rendered import DEPLOY, ENVIRONMENTS, built

ROOT = DEPLOY.parent
_BIN = Path(sys.executable).parent
RUNBOOKS = sorted((DEPLOY / "runbooks").glob("*.md"))
PAGES = [*RUNBOOKS, *sorted(set(DEPLOY.rglob("*.md")) - set(RUNBOOKS))]
# As kubectl takes them, in the singular.
_KINDS = {
    "deployment": "Deployment",
    "externalsecret": "ExternalSecret",
    "job": "Job",
    "scaledobject": "ScaledObject",
    "statefulset": "StatefulSet",
}
# Made by charts, and Argo CD's own.
_OF_OTHERS = {"deployment/argocd-server", "deployment/karpenter", "externalsecret/github-app"}


def _named(path):
    return str(path.relative_to(DEPLOY))


def _shell(path):
    return re.findall(r"^```sh\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


def test_there_is_a_runbook_for_what_happens():
    assert {path.stem for path in RUNBOOKS} == {
        "first-install",
        "restore-from-backup",
        "roll-back",
        "rotate-git-credentials",
        "spot-drought",
        "upgrade-airflow",
    }


@pytest.mark.parametrize("path", RUNBOOKS, ids=_named)
def test_the_commands_of_a_runbook_pass_shellcheck(path):
    result = subprocess.run(
        # SC2034: a line may say what a later one is to be given by hand.
        [_BIN / "shellcheck", "--shell=bash", "--exclude=SC2034", "-"],
        input="\n".join(_shell(path)),
        capture_output=True,
        text=True,
        check=False,
    )

    assert len(_shell(path)) >= 3
    assert result.stdout == ""


def _paths(text):
    named = re.findall(r"(?<![\w/.-])(?:deploy|docs|pod_templates|\.github)/[\w./-]*[\w]", text)
    return {name for name in named if not name.endswith(("/example", ".env"))}


@pytest.mark.parametrize("path", PAGES, ids=_named)
def test_every_file_that_a_page_names_exists(path):
    # Written by hand at the first install.
    later = {"deploy/image/base.digest"}

    missing = {name for name in _paths(path.read_text()) if not (ROOT / name).exists()}

    assert missing - later == set()


@pytest.mark.parametrize("path", PAGES, ids=_named)
def test_every_link_of_a_page_leads_to_a_file(path):
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", path.read_text())

    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", RUNBOOKS, ids=_named)
def test_what_a_runbook_asks_kubernetes_for_is_deployed(path):
    kinds = "|".join(_KINDS)
    asked = set(re.findall(rf"\b((?:{kinds})/[a-z][a-z0-9-]*)", path.read_text()))
    there = {
        f"{kind}/{one['metadata']['name']}"
        for environment in ENVIRONMENTS
        for one in built(f"overlays/{environment}")
        for kind, name in _KINDS.items()
        if one["kind"] == name
    }

    assert asked - there - _OF_OTHERS == set()


@pytest.mark.parametrize("path", RUNBOOKS, ids=_named)
def test_a_runbook_names_namespaces_and_applications_that_exist(path):
    text = path.read_text()
    namespaces = {one["spec"]["destination"]["namespace"] for one in argocd.applications().values()}
    asked = set(re.findall(r"(?<![\w-])(?:-n |--namespace |NAMESPACE=)([a-z][a-z0-9-]+)", text))
    held = set(re.findall(r"for application in ([a-z -]+);", text))

    assert asked - namespaces == set()
    assert {name for one in held for name in one.split()} <= set(argocd.applications())


@pytest.mark.parametrize("path", PAGES, ids=_named)
def test_every_command_of_the_package_exists(path):
    asked = re.findall(r"onchain-agg ([a-z]+(?: [a-z]+)?)", "\n".join(_code(path)))

    unknown = []
    for words in asked:
        first, _, second = words.partition(" ")
        command = main.commands.get(first)
        inner = getattr(command, "commands", None)
        if command is None or (inner is not None and second not in inner):
            unknown.append(words)
    assert unknown == []


def _code(path):
    text = path.read_text()
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    return [*_shell(path), *(one for one in spans if one.startswith("onchain-agg "))]


def test_every_runbook_is_in_the_page_that_one_begins_with():
    text = (DEPLOY / "README.md").read_text()

    assert [path.name for path in RUNBOOKS if f"(runbooks/{path.name})" not in text] == []


def test_every_folder_of_deploy_is_in_the_page_that_one_begins_with():
    text = (DEPLOY / "README.md").read_text()
    folders = [path.name for path in DEPLOY.iterdir() if path.is_dir()]

    assert [name for name in folders if f"`{name}/" not in text] == []


def test_the_page_says_what_an_environment_costs_as_the_command_does():
    result = CliRunner().invoke(main, ["cost", "--format", "json"], catch_exceptions=False)
    said = {
        name: int(amount.replace(",", ""))
        for name, amount in re.findall(
            r"^\| (\w+) \| ([\d,]+) \|", (DEPLOY / "README.md").read_text(), re.MULTILINE
        )
    }

    kept = json.loads(result.output)["environments"]
    assert said == {name: round(sum(parts.values())) for name, parts in kept.items()}
