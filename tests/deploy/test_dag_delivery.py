"""How DAGs come: git-sync by its digest, and Airflow's GitDagBundle in its place."""

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from onchain_agg.routing.workload_file import PACKAGED, load_workloads
from tests.manifests.rendered import DEPLOY, build_of, named, of_kind, pods

ROOT = DEPLOY.parent
_DIGEST = "sha256:" + "ab" * 32
_SCRIPT = "deploy/image/pin-git-sync.sh"
_CODE = "src/onchain_agg/routing/pod_templates.py"
_SIDECAR = "deploy/components/git-sync/sidecar.yaml"
_IMAGE = re.compile(r"^ +image: registry\.k8s\.io/git-sync/git-sync:(\S+)$", re.MULTILINE)


@pytest.fixture
def tree(tmp_path):
    """A copy of what names git-sync's image, without its digest."""
    templates = [str(path.relative_to(ROOT)) for path in (ROOT / "pod_templates").glob("*.yaml")]
    for name in (_SCRIPT, _CODE, _SIDECAR, *templates):
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
        if name != _SCRIPT:
            target.write_text(_IMAGE.sub(lambda one: one[0].split("@")[0], target.read_text()))
    return tmp_path


def _pin(tree, *arguments):
    return subprocess.run([tree / _SCRIPT, *arguments], capture_output=True, text=True, check=False)


def _versions(tree):
    files = [tree / _CODE, tree / _SIDECAR, *(tree / "pod_templates").glob("*.yaml")]
    return {path.name: _IMAGE.findall(path.read_text()) for path in files}


def test_every_file_names_the_digest_that_the_script_is_given(tree):
    before = _versions(tree)

    first, again = _pin(tree, "sha256:" + "0" * 64), _pin(tree, _DIGEST)

    assert (first.returncode, again.returncode) == (0, 0), again.stderr
    assert len(before) == 6
    assert all(len(one) == 1 and "@" not in one[0] for one in before.values())
    assert _versions(tree) == {name: [f"{one}@{_DIGEST}"] for name, (one,) in before.items()}


def test_templates_are_still_what_the_code_makes_of_the_table(tree):
    _pin(tree, _DIGEST)
    spec = importlib.util.spec_from_file_location("pinned_templates", tree / _CODE)
    pinned = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pinned)

    assert pinned.drift(tree / "pod_templates", load_workloads(PACKAGED)) == []


@pytest.mark.parametrize("arguments", [(), ("v4.7.1",), ("sha256:abc",), (_DIGEST + "0",)])
def test_what_is_no_digest_is_refused_and_changes_nothing(tree, arguments):
    before = _versions(tree)

    result = _pin(tree, *arguments)

    assert result.returncode == 1
    assert "digest" in result.stderr
    assert _versions(tree) == before


def _refusal(tree):
    workflow = yaml.safe_load((ROOT / ".github/workflows/image.yml").read_text())
    (script,) = [
        step["run"]
        for step in workflow["jobs"]["build"]["steps"]
        if step.get("name") == "See that git-sync is named by its digest"
    ]
    return subprocess.run(
        ["/bin/bash", "-e", "-o", "pipefail", "-c", script],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_image_is_built_while_one_place_lacks_the_digest(tree):
    open_everywhere = _refusal(tree)
    # As the repository has it before anybody looked the digest up.
    _pin(tree, "sha256:" + "0" * 64)
    zeros = _refusal(tree)
    _pin(tree, _DIGEST)
    pinned = _refusal(tree)
    small = tree / "pod_templates/small.yaml"
    small.write_text(small.read_text().replace(f"@{_DIGEST}", ""))
    open_in_one = _refusal(tree)

    assert (open_everywhere.returncode, pinned.returncode, open_in_one.returncode) == (1, 0, 1)
    assert pinned.stdout == ""
    # It says where, and what to do.
    assert open_in_one.stdout == (
        "::error::git-sync has no digest in pod_templates/small.yaml. Run"
        " deploy/image/pin-git-sync.sh, which says where to take it from, and commit.\n"
    )
    assert _SIDECAR in open_everywhere.stdout
    assert (zeros.returncode, zeros.stdout) == (1, open_everywhere.stdout)


def _with_bundle(tmp_path: Path, environment: str) -> Path:
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    folder = tmp_path / "deploy/overlays" / environment
    file = folder / "kustomization.yaml"
    told = yaml.safe_load(file.read_text())
    at = told["components"].index("../../components/git-sync")
    told["components"][at] = "../../components/git-dag-bundle"
    told["transformers"].append("../../components/git-dag-bundle/ref")
    # As a generator of previews does, and last of all.
    change = [
        {"op": "replace", "path": "/data/dags-ref", "value": "a" * 40},
        {"op": "replace", "path": "/data/dags-folder", "value": "flows"},
    ]
    told.setdefault("patches", []).append(
        {"target": {"kind": "ConfigMap", "name": "environment"}, "patch": yaml.safe_dump(change)}
    )
    file.write_text(yaml.safe_dump(told))
    return folder


@pytest.mark.parametrize("environment", ["prod", "dev", "preview"])
def test_airflows_own_bundle_takes_git_syncs_place(tmp_path, environment):
    manifests = build_of(_with_bundle(tmp_path, environment))

    bundles = {
        one["metadata"]["name"]: json.loads(
            one["data"]["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"]
        )
        for one in of_kind(manifests, "ConfigMap")
        if "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST" in one.get("data", {})
    }
    assert len(bundles) == 2
    for told in bundles.values():
        assert told == [
            {
                "name": "dags",
                "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
                "kwargs": {
                    "tracking_ref": "a" * 40,
                    "subdir": "flows",
                    "git_conn_id": "dags_git",
                },
            }
        ]
    containers = {one["name"] for pod in pods(manifests) for one in pod.containers}
    assert "git-sync" not in containers
    # The connection is a variable of this Secret, in every process that reads DAGs.
    for name in ("dag-processor", "triggerer", "worker-default"):
        (airflow,) = named(manifests, "Deployment", name)["spec"]["template"]["spec"]["containers"]
        assert {"secretRef": {"name": "onchain-agg-connections"}} in airflow["envFrom"]


def test_the_bundles_provider_is_in_the_image():
    pinned = (DEPLOY / "image/requirements.txt").read_text()

    assert re.search(r"^apache-airflow-providers-git==1\.\d+\.\d+ ", pinned, re.MULTILINE)
