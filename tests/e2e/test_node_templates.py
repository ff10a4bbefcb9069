"""Every pod template is accepted, placed on its node group, and runs with its mounts and rights."""

from pathlib import Path

import pytest
import yaml

from tests.e2e.node import node
from tests.e2e.node_pods import Pods, end_of

_ROOT = Path(__file__).parents[2]
_TEMPLATES = sorted((_ROOT / "pod_templates").glob("*.yaml"))
_BASE = _ROOT / "deploy" / "base"
# Git-sync's part is to put the DAGs below /git; its own tests are those of `test_git_sync`.
_FETCHER = """#!/bin/sh
set -e
test "$(id -u)" = 65533
mkdir -p /git/current/dags
echo "$@" > /git/current/dags/flags
echo tmp > /tmp/of-git-sync
"""
_SCRIPT = """
set -e
id -u
if test -e /tmp/of-git-sync; then echo 'the folders /tmp are one'; fi
tail -1 "$AIRFLOW__CORE__DAGS_FOLDER/flags" | tr ' ' '\\n' | head -2
echo "$DUMB_INIT_SETSID $OF_THE_CONFIG_MAP"
echo log > /opt/airflow/logs/written
echo scratch > /tmp/written
touch /git/written 2>/dev/null || echo 'the DAGs are read-only'
touch /opt/airflow/written 2>/dev/null || echo 'the image is read-only'
"""


@pytest.fixture(scope="module")
def pods(local_plane, new_namespace):
    """Return the pods of a namespace with what the templates name."""
    pods = Pods(local_plane.api(), new_namespace("templates"))
    for account in yaml.safe_load_all((_BASE / "service-accounts.yaml").read_text()):
        pods.core.create_namespaced_service_account(pods.namespace, account)
    claim = yaml.safe_load((_BASE / "logs.yaml").read_text())
    pods.core.create_namespaced_persistent_volume_claim(pods.namespace, claim)
    dags = {"repo": "https://example.org/dags.git", "ref": "main", "folder": "dags"}
    airflow = {"OF_THE_CONFIG_MAP": "set"}
    for name, data in (("onchain-agg-dags", dags), ("onchain-agg-airflow", airflow)):
        body = {"metadata": {"name": name}, "data": data}
        pods.core.create_namespaced_config_map(pods.namespace, body)
    return pods


@pytest.mark.parametrize("template", _TEMPLATES, ids=lambda path: path.stem)
def test_a_template_runs_on_a_node_of_its_group(template, pods, local_plane, tmp_path):
    (fetcher := tmp_path / "git-sync").write_text(_FETCHER)
    fetcher.chmod(0o755)
    images = tmp_path / "images.yaml"
    entry = {"entrypoint": [str(fetcher)]}
    images.write_text(yaml.safe_dump({"registry.k8s.io/git-sync/git-sync": entry}))
    body = yaml.safe_load(template.read_text())
    body["spec"]["containers"][0]["args"] = ["bash", "-c", _SCRIPT]
    name = f"oa-{template.stem}"
    group = body["spec"]["nodeSelector"]["onchain-agg/node-group"]

    with node(local_plane, tmp_path / "node", name, group=group, images=images) as started:
        ended = pods.run(body)
        printed = pods.log(ended.metadata.name)
        (log,) = started.claims.glob(f"{pods.namespace}/onchain-agg-logs/written")

    assert (ended.status.phase, end_of(ended)) == ("Succeeded", (0, "Completed"))
    assert ended.spec.node_name == name
    assert log.read_text() == "log\n"
    assert printed.splitlines() == [
        "50000",
        "--repo=https://example.org/dags.git",
        "--ref=main",
        "0 set",
        "the DAGs are read-only",
        "the image is read-only",
    ]
