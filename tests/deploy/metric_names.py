"""Names of metrics: those in an expression, those that the exporter makes, those Airflow sends."""

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import yaml

# Where it is; importing it would write its configuration.
_AIRFLOW = Path(find_spec("airflow").origin).parent
_HISTOGRAM = ("_bucket", "_sum", "_count")

# What neither Airflow nor this package sends, and who does.
FROM_OTHERS = {
    "up",  # Prometheus
    "kube_pod_status_phase",  # kube-state-metrics
    "kube_pod_container_status_restarts_total",  # kube-state-metrics
    "git_sync_count_total",  # git-sync 4, main.go
    "karpenter_interruption_received_messages_total",  # Karpenter 1, reference/metrics
    "karpenter_nodeclaims_created_total",  # the same
    "karpenter_nodeclaims_terminated_total",  # the same
}

_WORDS = {"and", "or", "unless", "offset", "bool", "by", "without", "on", "ignoring"}
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_NAME = re.compile(r"(?<![\w.:])[a-zA-Z_:][\w:]*(?![\w:]*\s*\()")
_SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}")


def metric_names(expression: str) -> set[str]:
    """Return the metrics that *expression* reads."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", _STRING.sub('""', expression))
    return {name for name in _NAME.findall(_GROUPING.sub(" ", bare)) if name not in _WORDS}


def label_names(expression: str) -> list[tuple[str, set[str]]]:
    """Return each metric of *expression* that has a selector, with the labels in it."""
    bare = _STRING.sub('""', expression)
    return [
        (name, set(re.findall(r"(\w+)\s*[=!]", labels))) for name, labels in _SELECTOR.findall(bare)
    ]


def exported(mapping: dict[str, str]) -> set[str]:
    """Return the names that the statsd exporter gives what *mapping* matches."""
    name = mapping["name"]
    if mapping["match_metric_type"] != "observer":
        return {name}
    return {name + part for part in _HISTOGRAM}


@cache
def airflow_registry() -> dict[str, str]:
    """Return the kind of each metric that the installed Airflow lists."""
    file = _AIRFLOW / "_shared/observability/metrics/metrics_template.yaml"
    return {one["name"]: one["type"] for one in yaml.safe_load(file.read_text())["metrics"]}


@cache
def sent_by_airflow() -> tuple[re.Pattern[str], ...]:
    """Return a pattern for each name that the installed Airflow's code sends.

    Its list has names that nothing sends.
    """
    call = re.compile(r'\b[sS]tats\.(?:incr|decr|gauge|timing|timer)\(\s*f?"([^"]+)"')
    names = {
        name
        for file in _AIRFLOW.rglob("*.py")
        if "tests" not in file.parts
        for name in call.findall(file.read_text(encoding="utf-8"))
    }
    return tuple(
        re.compile(re.sub(r"\\\{.*?\\\}", r"[^.]+", re.escape(name))) for name in sorted(names)
    )
