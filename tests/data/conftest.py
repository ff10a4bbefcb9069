"""The warehouse as most tests want it: migrated, and in line with the definitions."""

import pytest

from tests.fakes import warehouse as fakes


@pytest.fixture
def warehouse(new_warehouse):
    with new_warehouse() as engine:
        yield engine


@pytest.fixture(autouse=True)
def published(request, monkeypatch):
    """Publish only a few data sets where a test is about none: that saves most of its time."""
    if request.node.get_closest_marker("few_data_sets"):
        monkeypatch.setattr(fakes, "PUBLISHED", fakes.FEW_DATA_SETS)
