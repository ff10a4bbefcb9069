"""``pytest --dag-folder dags/``: the integrity rules as tests, in any repository of DAGs."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names the folder; without it the plugin does nothing."""
    parser.addoption("--dag-folder", help="check the DAGs of this folder by onchain-agg's rules")
