"""In which order `make test` hands files to its processes.

xdist begins with the files that have most tests, so the few long tests of a running Airflow would
come last and one process would wait for the other. Here the long files come first, those that
mostly wait between those that compute, and the short ones fill what is left.
"""

from pathlib import Path

import pytest
from xdist.scheduler.loadfile import LoadFileScheduling

# Its files share one running Airflow, so one process gets them all.
_TOGETHER = "tests/airflow/deployed"
LONG_FIRST = (
    "tests/airflow/test_hybrid.py",
    "tests/data/test_any_order.py",
    _TOGETHER,
    "tests/airflow/test_operators.py",
    "tests/data/test_archive.py",
    "tests/airflow/test_local_runtime.py",
    "tests/data/test_definitions.py",
    "tests/data/test_corrections.py",
    "tests/airflow/test_foreign_repository.py",
    "tests/data/test_kills.py",
    "tests/metrics/test_cases.py",
    "tests/airflow/test_spot.py",
    "tests/data/test_coin_prices.py",
    "tests/data/test_archive_seam.py",
    "tests/data/test_archive_rebuild.py",
    "tests/airflow/test_integrity_rules.py",
    "tests/airflow/test_integrity_command.py",
    "tests/airflow/test_celery_config.py",
    "tests/unit/sample/test_recorder.py",
)


class LongFilesFirst(LoadFileScheduling):
    """Hands out whole files as they were collected, a folder of `_TOGETHER` as if it were one."""

    def __init__(self, config: pytest.Config, log: object) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return _unit(nodeid)


def long_first(items: list[pytest.Item]) -> None:
    """Sort *items*: those of long files come first, the others stay as they are."""
    rank = {unit: number for number, unit in enumerate(LONG_FIRST)}
    items.sort(key=lambda item: rank.get(_unit(item.nodeid), len(rank)))


def _unit(nodeid: str) -> str:
    file = Path(nodeid.partition("::")[0])
    return _TOGETHER if Path(_TOGETHER) in file.parents else str(file)
