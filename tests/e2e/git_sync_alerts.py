"""Which alerts of deploy/monitoring fire on figures that were scraped from a git-sync."""

import json
import shutil
import subprocess
from pathlib import Path

import yaml

PROMTOOL = shutil.which("promtool")
_RULES = Path(__file__).parents[2] / "deploy/monitoring/prometheus-rule.yaml"
_SEVERITIES = {"GitSyncErrors": "warning", "GitSyncStale": "critical"}
_POD = 'namespace="a", pod="p"'


def firing(folder: Path, scrapes: list[dict[str, float]]) -> set[str]:
    """Return which of git-sync's alerts fire with the last of *scrapes*, which are a minute apart.

    The figures are those that git-sync told, under the names that it told; Prometheus adds the
    labels of the pod. promtool's files are written to *folder*.
    """
    spec = yaml.safe_load(_RULES.read_text())["spec"]
    (folder / "rules.yaml").write_text(yaml.safe_dump(spec))
    names = sorted({name for scrape in scrapes for name in scrape if name.endswith("}")})
    series = [
        {
            "series": f"{name[:-1]}, {_POD}}}",
            "values": " ".join(str(scrape.get(name, "_")) for scrape in scrapes),
        }
        for name in names
    ]
    return {alert for alert in _SEVERITIES if _fires(folder, series, len(scrapes) - 1, alert)}


def _fires(folder: Path, series: list[dict[str, str]], at: int, alert: str) -> bool:
    labels = f'alertname="{alert}", alertstate="firing", {_POD}, severity="{_SEVERITIES[alert]}"'
    yes = [{"labels": f"ALERTS{{{labels}}}", "value": 1}]
    answers = [_holds(folder, series, at, alert, samples) for samples in (yes, [])]
    # Were both refused, the figures or the rules could not be read.
    assert sum(answers) == 1, (folder / "promtool.log").read_text()
    return answers[0]


def _holds(
    folder: Path,
    series: list[dict[str, str]],
    at: int,
    alert: str,
    samples: list[dict[str, object]],
) -> bool:
    """Return whether promtool finds just *samples* of a firing *alert* in minute *at*."""
    expression = f'ALERTS{{alertname="{alert}", alertstate="firing"}}'
    case = {"expr": expression, "eval_time": f"{at}m", "exp_samples": samples}
    test = {"interval": "1m", "input_series": series, "promql_expr_test": [case]}
    whole = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}
    (folder / "test.yaml").write_text(json.dumps(whole))
    with (folder / "promtool.log").open("w") as log:
        command = [str(PROMTOOL), "test", "rules", "test.yaml"]
        result = subprocess.run(command, cwd=folder, stdout=log, stderr=log, check=False)
    return result.returncode == 0
