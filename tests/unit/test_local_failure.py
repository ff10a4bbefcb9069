"""What is said of a failed task, from the log that it left."""

import json

import pytest

from onchain_agg.local.failure import error_line, log_of, named

_TASK = {
    "dag_id": "d",
    "dag_run_id": "r",
    "task_id": "t",
    "map_index": -1,
    "try_number": 2,
}


def _log(tmp_path, *lines: object):
    log = tmp_path / "attempt=1.log"
    log.write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines))
    return log


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            [
                {"level": "info", "event": "fine"},
                {
                    "level": "error",
                    "event": "Task failed with exception",
                    "error_detail": [
                        {"exc_type": "SourceError", "exc_value": "node\n  is away"},
                        {"exc_type": "OSError", "exc_value": "refused"},
                    ],
                },
                {"level": "info", "event": "bye"},
            ],
            "SourceError: node is away",
        ),
        ([{"level": "error", "event": "Killed"}, "no json"], "Killed"),
        (
            [{"level": "info", "event": "fine"}, "[]"],
            "its log tells no error; the worker was killed.",
        ),
    ],
)
def test_the_last_error_of_a_log_is_one_line(tmp_path, lines, said):
    assert error_line(_log(tmp_path, *lines)) == said


def test_a_missing_log_is_said_to_be_missing(tmp_path):
    assert error_line(tmp_path / "none.log") == (
        "it left no log; the worker was killed or could not start."
    )


def test_a_mapped_task_has_a_log_and_a_name_of_its_own(tmp_path):
    mapped = {**_TASK, "map_index": 3}

    assert named(_TASK) == "t"
    assert named(mapped) == "t[3]"
    assert log_of(_TASK, tmp_path) == tmp_path / "dag_id=d/run_id=r/task_id=t/attempt=2.log"
    assert log_of(mapped, tmp_path) == (
        tmp_path / "dag_id=d/run_id=r/task_id=t/map_index=3/attempt=2.log"
    )
