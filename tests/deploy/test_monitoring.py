"""Rules and panels read what is really sent, and each alert fires and is silent as it should."""

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from onchain_agg.measures import MEASURES
from tests.deploy.metric_names import (
    FROM_OTHERS,
    airflow_registry,
    exported,
    label_names,
    metric_names,
    sent_by_airflow,
)
from tests.manifests.rendered import build_of, built

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/monitoring"
RULES = FOLDER / "prometheus-rule.yaml"
MAPPING = yaml.safe_load((FOLDER / "environment/statsd_mapping.yml").read_text())
TESTS = sorted((FOLDER / "tests").glob("*.yaml"))
DASHBOARDS = sorted((FOLDER / "dashboards").glob("*.json"))

_NAMED = [one for one in MAPPING["mappings"] if one.get("action") != "drop"]
_OURS = {f"airflow.{one.name}": one for one in MEASURES}
_PROMTOOL, _EXPORTER = shutil.which("promtool"), shutil.which("statsd_exporter")
_needs_promtool = pytest.mark.skipif(
    _PROMTOOL is None,
    reason="no promtool: apt-get install prometheus (Debian), or put Prometheus's on PATH",
)


def _rules():
    groups = yaml.safe_load(RULES.read_text())["spec"]["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _alerts():
    return [rule["alert"] for rule in _rules() if "alert" in rule]


def _recorded():
    return {rule["record"] for rule in _rules() if "record" in rule}


def _expressions():
    """Return every expression of rules and panels, by where it stands."""
    found = {rule.get("alert") or rule["record"]: rule["expr"] for rule in _rules()}
    for file in DASHBOARDS:
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel["targets"]:
                found[f"{file.name}: {panel['title']} {target['refId']}"] = target["expr"]
    return found


def _known():
    return {name for one in _NAMED for name in exported(one)} | _recorded() | FROM_OTHERS


@pytest.mark.parametrize("where", _expressions())
def test_an_expression_reads_only_what_is_there(where):
    names = metric_names(_expressions()[where])

    assert names
    assert names - _known() == set()


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ('sum by (queue) (rate(airflow_ti_queud{queue="a_b"}[5m]))', {"airflow_ti_queud"}),
        ("a:b:sum > 3 and on (namespace) up offset 1h", {"a:b:sum", "up"}),
        ("histogram_quantile(0.95, sum by (le) (x_bucket)) or vector(1e3)", {"x_bucket"}),
        ("time() - max(x) > 3 * 86400 unless y", {"x", "y"}),
    ],
)
def test_the_names_in_an_expression_are_found(expression, names):
    assert metric_names(expression) == names
    assert not names <= _known()


def test_a_name_of_a_metric_that_the_exporter_does_not_make_is_not_known():
    # The counter without _total, the timer without a part of its histogram.
    assert not {"airflow_ti_finish", "airflow_task_duration_seconds"} & _known()
    assert {"airflow_ti_finish_total", "airflow_task_duration_seconds_bucket"} <= _known()


@pytest.mark.parametrize("one", _NAMED, ids=lambda one: one["match"])
def test_what_is_mapped_is_sent_under_that_name_and_kind(one):
    kind = one["match_metric_type"].replace("observer", "timer")

    if one["match"] in _OURS:
        assert _OURS[one["match"]].kind == kind
    else:
        name = one["match"].removeprefix("airflow.")
        assert airflow_registry().get(name) == kind
        assert any(pattern.fullmatch(name) for pattern in sent_by_airflow()), "nothing sends it"


def test_airflow_sends_no_metric_that_does_not_exist():
    assert not any(pattern.fullmatch("scheduler.heartbeat") for pattern in sent_by_airflow())


def test_all_that_the_package_sends_is_mapped():
    assert {one["match"] for one in _NAMED} >= set(_OURS)


def test_nothing_is_mapped_that_no_rule_and_no_panel_reads():
    read = {name for expression in _expressions().values() for name in metric_names(expression)}

    assert [one["match"] for one in _NAMED if not exported(one) & read] == []


def test_names_in_prometheus_say_their_kind_and_come_once():
    names = [one["name"] for one in _NAMED]
    wrong = [
        one["name"]
        for one in _NAMED
        if (one["match_metric_type"] == "counter") != one["name"].endswith("_total")
        or (one["match_metric_type"] == "observer" and not one["name"].endswith("_seconds"))
    ]

    assert len(set(names)) == len(names)
    assert wrong == []
    assert MAPPING["mappings"][-1] == {
        "match": ".",
        "match_type": "regex",
        "action": "drop",
        "name": "dropped",
    }


@pytest.mark.parametrize("where", _expressions())
def test_labels_of_our_own_metrics_are_their_tags(where):
    tags = {}
    for one in _NAMED:
        if one["match"] in _OURS:
            own = frozenset({*_OURS[one["match"]].tags, "namespace", "le"})
            tags |= dict.fromkeys(exported(one), own)

    wrong = {
        name: labels - tags[name]
        for name, labels in label_names(_expressions()[where])
        if name in tags and labels - tags[name]
    }

    assert wrong == {}


def test_airflow_sends_where_and_as_the_exporter_listens():
    options = dict(
        line.split("=", 1)
        for name in ("airflow.env", "airflow-routing.env")
        for line in (ROOT / "deploy/base" / name).read_text().splitlines()
        if line and not line.startswith("#")
    )
    exporter, service = yaml.safe_load_all((ROOT / "deploy/base/statsd-exporter.yaml").read_text())
    pod = exporter["spec"]["template"]["spec"]
    mapping = next(one for one in pod["volumes"] if one["name"] == "mapping")
    arguments = pod["containers"][0]["args"]

    metrics = {key: value for key, value in options.items() if key.startswith("AIRFLOW__METRICS__")}
    assert metrics == {
        "AIRFLOW__METRICS__STATSD_ON": "True",
        "AIRFLOW__METRICS__STATSD_HOST": service["metadata"]["name"],
        "AIRFLOW__METRICS__STATSD_PORT": str(service["spec"]["ports"][0]["port"]),
        "AIRFLOW__METRICS__STATSD_PREFIX": "airflow",
        "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
        "AIRFLOW__METRICS__LEGACY_NAMES_ON": "False",
    }
    (made,) = _component()["configMapGenerator"]
    assert mapping["configMap"]["name"] == made["name"]
    assert f"--statsd.mapping-config=/etc/statsd/{made['files'][0]}" in arguments


def _component():
    return yaml.safe_load((FOLDER / "environment/kustomization.yaml").read_text())


def test_monitors_find_ports_and_labels_that_are_there():
    service_monitor, pod_monitor = yaml.safe_load_all(
        (FOLDER / "environment/monitors.yaml").read_text()
    )
    _, service = yaml.safe_load_all((ROOT / "deploy/base/statsd-exporter.yaml").read_text())
    sidecar = yaml.safe_load((ROOT / "deploy/components/git-sync/sidecar.yaml").read_text())
    (container,) = sidecar["spec"]["template"]["spec"]["initContainers"]

    wanted = service_monitor["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= service["metadata"]["labels"].items()
    # Rules ask for up{job="statsd-exporter"}.
    assert service["metadata"]["labels"][service_monitor["spec"]["jobLabel"]] == "statsd-exporter"
    assert [one["port"] for one in service_monitor["spec"]["endpoints"]] == ["metrics"]
    assert "metrics" in {port["name"] for port in service["spec"]["ports"]}
    assert pod_monitor["spec"]["podMetricsEndpoints"][0]["port"] in {
        port["name"] for port in container["ports"]
    }
    assert "--http-metrics" in container["args"]


def test_every_alert_says_what_it_is_and_what_to_do():
    named = {
        document["metadata"]["name"]
        for file in (ROOT / "deploy/base").glob("*.yaml")
        for document in yaml.safe_load_all(file.read_text())
        if document and document.get("kind") == "Deployment"
    }

    for rule in _rules():
        if "alert" not in rule:
            continue
        assert set(rule["annotations"]) == {"summary", "action"}, rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}, rule["alert"]
        assert set(re.findall(r"deploy/([\w-]+)", rule["annotations"]["action"])) <= named


def test_every_dashboard_is_shipped_and_its_panels_have_names_and_numbers_of_their_own():
    shipped = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["configMapGenerator"]

    assert sorted(shipped[0]["files"]) == [f"dashboards/{file.name}" for file in DASHBOARDS]
    for file in DASHBOARDS:
        panels = json.loads(file.read_text())["panels"]
        for key in ("id", "title"):
            assert len({panel[key] for panel in panels}) == len(panels), file.name
        assert all(panel["datasource"]["uid"] == "${datasource}" for panel in panels)


def test_the_cluster_and_each_environment_get_their_part():
    cluster = [(one["kind"], one["metadata"]["namespace"]) for one in build_of(FOLDER)]
    environment = {one["kind"]: one for one in built("overlays/prod")}

    kinds = ("ConfigMap", "PrometheusRule", "ServiceMonitor")
    assert sorted(cluster) == [(kind, "monitoring") for kind in kinds]
    for kind in ("ServiceMonitor", "PodMonitor"):
        assert environment[kind]["metadata"]["namespace"] == "airflow-prod"


@pytest.mark.parametrize("alert", _alerts())
def test_every_alert_has_a_firing_and_a_silent_case(alert):
    cases = [
        bool(case.get("exp_alerts"))
        for file in TESTS
        for test in yaml.safe_load(file.read_text())["tests"]
        for case in test.get("alert_rule_test", [])
        if case["alertname"] == alert
    ]

    assert set(cases) == {True, False}


def _promtool(folder, *arguments, spec=None):
    """Run promtool where the rules are as it reads them: without Kubernetes' envelope."""
    spec = spec or yaml.safe_load(RULES.read_text())["spec"]
    (folder / "rules.yaml").write_text(yaml.safe_dump(spec))
    for file in TESTS:
        shutil.copy(file, folder)
    return subprocess.run(
        [_PROMTOOL, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


@_needs_promtool
def test_promtool_takes_the_rules(tmp_path):
    result = _promtool(tmp_path, "check", "rules", "rules.yaml")

    assert result.returncode == 0, result.stdout + result.stderr


@_needs_promtool
@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.name)
def test_alerts_fire_and_are_silent_as_they_should(tmp_path, file):
    result = _promtool(tmp_path, "test", "rules", file.name)

    assert result.returncode == 0, result.stdout + result.stderr


@_needs_promtool
def test_the_cases_notice_a_threshold_that_was_changed(tmp_path):
    spec = yaml.safe_load(RULES.read_text())["spec"]
    (late,) = [
        rule
        for group in spec["groups"]
        for rule in group["rules"]
        if rule.get("alert") == "DagsNotParsed"
    ]
    late["expr"] = late["expr"].replace("> 300", "> 3000")

    result = _promtool(tmp_path, "test", "rules", "data.yaml", spec=spec)

    assert result.returncode == 1
    assert "alertname: DagsNotParsed, time: 20m" in result.stdout + result.stderr


@pytest.mark.skipif(
    _EXPORTER is None,
    reason="no statsd_exporter: go install github.com/prometheus/statsd_exporter@v0.29.0",
)
def test_the_exporter_itself_names_what_is_sent_as_the_rules_read_it():
    mapping = FOLDER / "environment/statsd_mapping.yml"
    listen, web = _free_port(socket.SOCK_DGRAM), _free_port(socket.SOCK_STREAM)
    exporter = subprocess.Popen(
        [
            _EXPORTER,
            f"--statsd.mapping-config={mapping}",
            f"--statsd.listen-udp=127.0.0.1:{listen}",
            "--statsd.listen-tcp=",
            f"--web.listen-address=127.0.0.1:{web}",
        ],
        stderr=subprocess.PIPE,
    )
    try:
        shown = _shown_after(listen, web, _lines())
    finally:
        exporter.terminate()
        exporter.wait(10)
        exporter.stderr.close()

    names = {re.split(r"[{ ]", line)[0] for line in shown.splitlines() if line[:1] not in {"#", ""}}
    ours = {name for name in names if name.startswith(("airflow_", "onchain_agg_"))}
    assert ours == {name for one in _NAMED for name in exported(one)}
    assert 'airflow_ti_queued{dag_id="a",queue="default",task_id="b.c"} 3' in shown
    # 2500 ms are in the bucket of 5 s.
    timed = 'airflow_task_duration_seconds_bucket{dag_id="a",queue="default",task_id="b.c",le="%s"}'
    assert f"{timed % '1'} 0" in shown
    assert f"{timed % '5'} 1" in shown


def _lines():
    """Return a line of statsd's protocol for each metric, and one that is to be dropped."""
    kinds = {"counter": "1|c", "gauge": "3|g", "observer": "2500|ms"}
    tags = "dag_id=a,task_id=b.c,queue=default"
    lines = [f"{one['match']},{tags}:{kinds[one['match_metric_type']]}" for one in _NAMED]
    return [*lines, f"airflow.operator_failures,{tags}:1|c"]


def _free_port(kind):
    with socket.socket(socket.AF_INET, kind) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _shown_after(listen, web, lines):
    """Return what the exporter shows after it got *lines*; it takes a moment to be there."""
    deadline = time.monotonic() + 20
    shown = ""
    while "onchain_agg_dataset_due_days" not in shown and time.monotonic() < deadline:
        time.sleep(0.2)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{web}/metrics", timeout=5) as page:
                shown = page.read().decode()
        except OSError:
            continue
        if "onchain_agg_dataset_due_days" not in shown and "airflow_" not in shown:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                for line in lines:
                    sender.sendto(line.encode(), ("127.0.0.1", listen))
            # It looks at what came every 200 ms; sent twice, counters would be wrong.
            time.sleep(1)
    return shown
