"""Reads a folder of DAGs as Airflow's dag-processor does: each file apart, the policies applied.

An interpreter of its own imports Airflow once and reads each file in a fork, so that what one file
imports, changes or breaks reaches no other, nor the caller. It needs no database and no running
Airflow.
"""

import os
import pickle
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from onchain_agg.errors import ConfigError
from onchain_agg.integrity.facts import DagFile, Reading, TaskFacts

# Of Airflow in the temporary folder.
_HOME = "airflow"


def read_folder(folder: Path) -> list[DagFile]:
    """Return the DAG files of *folder* and its sub-folders, by name.

    Raises:
        ConfigError: The folder is none or has no DAG, or Airflow or this package is configured
            wrongly.
    """
    return list(read(folder).files)


def read(folder: Path) -> Reading:
    """Return the DAG files of *folder* and its sub-folders, and the deployment they were read for.

    Raises:
        ConfigError: See `read_folder`.
    """
    root = folder.resolve()
    if not root.is_dir():
        raise ConfigError(f"{folder} is not a folder. Name the folder of the DAG files.")
    with tempfile.TemporaryDirectory(prefix="onchain-agg-check-") as scratch:
        found = _read_apart(root, Path(scratch))
    if isinstance(found, ConfigError):
        raise found
    found = _with_home_by_name(found, str(Path(scratch, _HOME)))
    if not any(file.dags or file.errors for file in found.files):
        raise ConfigError(
            f"{folder} has no DAG. Name the folder of the DAG files, or see whether its "
            ".airflowignore leaves them all out."
        )
    return found


def _read_apart(root: Path, scratch: Path) -> Reading | ConfigError:
    """Return what another interpreter read of *root*."""
    answer = scratch / "answer"
    # -P: the current folder is on Airflow's path no more than it is here.
    command = [sys.executable, "-P", "-m", "onchain_agg.integrity.reader", str(root), str(answer)]
    done = subprocess.run(  # noqa: S603 - this interpreter and this package
        command,
        env=_environment(scratch),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode or not answer.is_file():
        told = done.stderr.strip().splitlines()
        reason = told[-1] if told else f"it ended with code {done.returncode}"
        return ConfigError(f"Airflow could not be started to read {root}: {reason}")
    found: Reading | ConfigError = pickle.loads(answer.read_bytes())  # noqa: S301 - see above
    return found


def _with_home_by_name(found: Reading, home: str) -> Reading:
    """Return *found* with ``$AIRFLOW_HOME`` for the temporary *home*, which nobody can look at."""

    def named(text: str) -> str:
        return text.replace(home, "$AIRFLOW_HOME")

    def named_task(task: TaskFacts) -> TaskFacts:
        template = task.pod_template
        return replace(task, pod_template=template and named(template))

    files = tuple(
        replace(
            file,
            errors=tuple(map(named, file.errors)),
            dags=tuple(replace(dag, tasks=tuple(map(named_task, dag.tasks))) for dag in file.dags),
        )
        for file in found.files
    )
    templates = Path(named(str(found.deployment.pod_templates)))
    return replace(
        found, files=files, deployment=replace(found.deployment, pod_templates=templates)
    )


def _environment(scratch: Path) -> dict[str, str]:
    """Return this process's environment, with a home for Airflow where it has none."""
    return {
        # Airflow would write its configuration to ~/airflow.
        "AIRFLOW_HOME": str(scratch / _HOME),
        **os.environ,
        # A task of an unknown queue is to be read, not refused: a rule tells of it.
        "ONCHAIN_AGG_STRICT_QUEUES": "False",
        # An error in a library's depths is to be told with the file's own line.
        "AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACK_DEPTH": "50",
    }
