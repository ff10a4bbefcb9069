"""DAG files that are parsed under a configuration of their own."""

import logging
import textwrap

import pytest
from airflow.dag_processing.dagbag import DagBag

from tests.fakes.dag_file import HEAD, HYBRID, forget


@pytest.fixture
def configured(monkeypatch):
    """Return a function that sets ``[core] executor`` and options of ``[onchain_agg]``."""

    def configure(executors=HYBRID, **options):
        monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executors)
        for name, value in ({"pod_templates": "/templates"} | options).items():
            monkeypatch.setenv(f"AIRFLOW__ONCHAIN_AGG__{name.upper()}", value)
        forget()

    configure()
    yield configure
    monkeypatch.undo()
    forget()


@pytest.fixture
def parse(configured, tmp_path):
    """Return a function that parses a DAG of the statements that it is given."""

    def parsed(statements, executors=HYBRID, default_args="{}", **options):
        configured(executors, **options)
        file = tmp_path / "cases.py"
        with_dag = f'{HEAD}\nwith DAG("cases", default_args={default_args}):\n'
        file.write_text(with_dag + textwrap.indent(statements, "    "))
        return DagBag(str(file))

    return parsed


@pytest.fixture
def heard():
    """Yield the warnings that the policy logs."""
    lines = []

    class _Ear(logging.Handler):
        def emit(self, record):
            lines.append((record.levelname, record.getMessage()))

    log, ear = logging.getLogger("onchain_agg.routing.assignment"), _Ear()
    log.addHandler(ear)
    yield lines
    log.removeHandler(ear)
