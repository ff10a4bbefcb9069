"""An alert reaches whom it concerns, and no address of a receiver stands in the repository."""

import re

import pytest
import yaml

from tests.manifests.alert_routing import receiver
from tests.manifests.argocd import applications, sources
from tests.manifests.rendered import DEPLOY

(_SOURCE,) = sources(applications()["kube-prometheus-stack"])
_VALUES = _SOURCE["helm"]["valuesObject"]
_CONFIG = _VALUES["alertmanager"]["config"]
_RULES = yaml.safe_load((DEPLOY / "monitoring/prometheus-rule.yaml").read_text())


def _severities():
    return {
        rule["alert"]: rule["labels"]["severity"]
        for group in _RULES["spec"]["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }


@pytest.mark.parametrize(
    ("alert", "namespace", "told"),
    [
        ("SchedulerDown", "airflow-prod", "pager"),
        ("SchedulerDown", "airflow-dev", "chat"),
        ("SchedulerDown", "airflow-dev-ada", "nobody"),
        ("SchedulerDown", "airflow-pr-12", "nobody"),
        ("SchedulerDown", "airflow-preview", "nobody"),
        ("InvariantsFailed", "airflow-prod", "pager"),
        ("QueueWaits", "airflow-prod", "chat"),
        ("SpotInterruptions", "", "nobody"),
    ],
)
def test_an_alert_of_ours_reaches_whom_it_concerns(alert, namespace, told):
    labels = {"alertname": alert, "severity": _severities()[alert], "namespace": namespace}

    assert receiver(_CONFIG, labels) == told


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ({"alertname": "Watchdog", "severity": "none"}, "nobody"),
        ({"alertname": "InfoInhibitor", "severity": "none"}, "nobody"),
        ({"alertname": "KubeNodeNotReady", "severity": "critical"}, "pager"),
        ({"alertname": "KubePodCrashLooping", "severity": "warning"}, "chat"),
    ],
)
def test_an_alert_of_the_cluster_reaches_whom_it_concerns(labels, told):
    assert receiver(_CONFIG, labels) == told


def test_no_alert_of_prod_is_lost():
    told = {
        alert: receiver(
            _CONFIG, {"alertname": alert, "severity": severity, "namespace": "airflow-prod"}
        )
        for alert, severity in _severities().items()
    }

    assert {alert for alert, whom in told.items() if whom == "nobody"} == {"SpotInterruptions"}
    assert set(told.values()) == {"nobody", "chat", "pager"}


def test_a_route_leads_to_a_receiver_that_there_is_and_each_is_used():
    route = _CONFIG["route"]
    named = [one["name"] for one in _CONFIG["receivers"]]

    assert {route["receiver"], *(one["receiver"] for one in route["routes"])} == set(named)
    assert len(set(named)) == len(named)


def test_addresses_of_receivers_are_files_of_a_secret_from_the_store():
    (mounted,) = _VALUES["alertmanager"]["alertmanagerSpec"]["secrets"]
    secrets = {one["spec"]["target"]["name"] for one in _VALUES["extraManifests"]}
    text = yaml.safe_dump(_CONFIG)

    files = re.findall(r"\w+_file: /etc/alertmanager/secrets/([\w-]+)/(\w+)", text)
    assert mounted in secrets
    assert sorted(files) == [(mounted, "pagerduty_key"), (mounted, "slack_url")]
    assert re.findall(r"\b(?:api_url|routing_key|service_key|url): ", text) == []
