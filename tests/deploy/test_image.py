"""The image is Airflow as constraints pin it, without root, and stops workers gently."""

import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from tests.manifests.rendered import DEPLOY

ROOT = DEPLOY.parent
_BIN = Path(sys.executable).parent
_DOCKERFILE = DEPLOY / "image/Dockerfile"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def _instructions(name):
    joined = _DOCKERFILE.read_text().replace("\\\n", " ")
    return re.findall(rf"^{name} (.*)$", joined, re.MULTILINE)


def test_hadolint_finds_nothing_in_the_dockerfile():
    result = subprocess.run(
        [_BIN / "hadolint", _DOCKERFILE], capture_output=True, text=True, check=False
    )

    assert (result.returncode, result.stdout) == (0, "")


def _copied():
    return [name for line in _instructions("COPY") for name in line.split()[1:-1]]


def test_the_image_copies_only_what_the_repository_holds():
    assert _copied() == [
        "deploy/image/requirements.txt",
        *("pyproject.toml", "README.md", "LICENSE"),
        *("src", "dags", "pod_templates"),
    ]
    assert [name for name in _copied() if not (ROOT / name).exists()] == []


def test_the_builder_is_sent_what_is_copied_and_nothing_else():
    lines = (DEPLOY / "image/Dockerfile.dockerignore").read_text().splitlines()

    assert lines[1] == "*"
    assert [line[1:] for line in lines if line.startswith("!")] == _copied()


def test_the_image_runs_the_airflow_that_constraints_pin():
    pinned = re.search(
        r"^apache-airflow==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE
    )
    (image,) = _instructions("ARG")

    assert pinned is not None
    assert image == f"AIRFLOW_IMAGE=apache/airflow:slim-{pinned[1]}-python3.11"
    assert _instructions("FROM") == ["${AIRFLOW_IMAGE}"]


def test_the_base_image_is_built_from_by_its_digest():
    workflow = (ROOT / ".github/workflows/image.yml").read_text()
    digest = DEPLOY / "image/base.digest"

    assert 'echo "image=$name@$digest"' in workflow
    assert "AIRFLOW_IMAGE=${{ steps.base.outputs.image }}" in workflow
    # Until somebody writes it, no build passes.
    assert not digest.exists() or _DIGEST.fullmatch(digest.read_text().strip())


def test_no_process_is_root_and_the_user_is_a_number():
    assert _instructions("USER") == ["50000:0"]
    assert all(line.startswith("--chown=50000:0 ") for line in _instructions("COPY"))


def test_a_signal_reaches_the_worker_and_not_its_tasks():
    (environment,) = _instructions("ENV")

    assert "DUMB_INIT_SETSID=0" in environment.split()


def test_nothing_is_installed_that_has_no_hash():
    first, second = [line for line in _instructions("RUN") if "pip install" in line]

    assert "--require-hashes -r /opt/onchain-agg/requirements.txt" in first
    # The package alone, built with what is there already.
    assert "--no-deps --no-build-isolation /opt/onchain-agg" in second
    assert second.endswith("&& pip check")


def _pins(path):
    """Return the versions of each package; one that differs by Python has several."""
    pins = defaultdict(set)
    for name, pinned in re.findall(
        r"^([a-z0-9._-]+)==([^ ;\\\n]+)", path.read_text(), re.MULTILINE
    ):
        pins[name].add(pinned)
    return pins


def test_the_image_has_the_versions_that_tests_ran_with():
    tested = _pins(ROOT / "constraints.txt")
    installed = _pins(DEPLOY / "image/requirements.txt")
    both = installed.keys() & tested.keys()

    assert {name for name in both if not installed[name] <= tested[name]} == set()
    assert len(both) > 100


def test_the_image_has_all_that_the_package_and_its_options_need():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    beside = (DEPLOY / "image/requirements.in").read_text().splitlines()
    names = {
        re.split(r"[\[<>=]", line)[0]
        for line in [*declared, *beside]
        if line and not line.startswith("#")
    }

    assert {"apache-airflow", "apache-airflow-providers-fab"} <= names
    assert names - _pins(DEPLOY / "image/requirements.txt").keys() == set()


@pytest.mark.parametrize("overlay", ["dev", "preview", "prod"])
def test_an_overlay_deploys_the_image_by_digest_alone(overlay):
    said = yaml.safe_load((DEPLOY / f"overlays/{overlay}/kustomization.yaml").read_text())
    (image,) = said["images"]

    assert _DIGEST.fullmatch(image["digest"])
    assert "newTag" not in image


def test_shell_scripts_of_the_deployment_pass_shellcheck():
    scripts = sorted(DEPLOY.rglob("*.sh"))

    result = subprocess.run(
        [_BIN / "shellcheck", *scripts], capture_output=True, text=True, check=False
    )

    assert len(scripts) >= 2
    assert (result.returncode, result.stdout) == (0, "")
