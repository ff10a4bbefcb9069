"""The warehouse as most tests want it: migrated, and in line with the definitions."""

import pytest

from onchain_agg.metrics.definitions import sync


@pytest.fixture
def warehouse(engine):
    sync(engine)
    return engine
