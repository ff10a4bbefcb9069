"""The warehouse as most tests want it: migrated, and in line with the definitions."""

import pytest


@pytest.fixture
def warehouse(new_warehouse):
    with new_warehouse() as engine:
        yield engine
