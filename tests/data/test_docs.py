"""The code in the documents runs as it stands."""

import re
from pathlib import Path
from textwrap import dedent

import pytest
from sqlalchemy import func, select

from onchain_agg.chains import chain_named
from onchain_agg.metrics.definitions import sync
from onchain_agg.metrics.inputs import chain_window
from onchain_agg.warehouse import ingest
from onchain_agg.warehouse.apply import apply_blocks
from onchain_agg.warehouse.tables.ops import DIRTY
from tests.fakes.chain import FakeNode
from tests.fakes.scenes import branch

pytestmark = pytest.mark.data

ROOT = Path(__file__).parents[2]
CHAIN = chain_named("anvil")


def python_of(document: str) -> str:
    """Return the document's only Python block."""
    (code,) = re.findall(r"^ *```python\n(.*?)^ *```", (ROOT / document).read_text(), re.S | re.M)
    return dedent(code)


@pytest.fixture
def with_blocks(engine):
    sync(engine)
    node = FakeNode(CHAIN, branch(CHAIN, 4))
    ingest.load(engine, CHAIN, node, 0, 3)
    apply_blocks(engine, CHAIN, final_height=-1)
    return engine


def test_the_notebook_of_the_readme_publishes_what_is_dirty(with_blocks, monkeypatch, capsys):
    url = with_blocks.url.render_as_string(hide_password=False)
    monkeypatch.setenv("ONCHAIN_AGG_WAREHOUSE_URL", url)

    exec(python_of("README.md"), {})  # noqa: S102 - the document is the project's own

    assert capsys.readouterr().out.startswith("Rows(names=('chain', 'day', 'block_hash'")
    left = select(func.count()).where(DIRTY.c.dataset == "whale_transfer")
    with with_blocks.connect() as connection:
        assert connection.scalar(left) == 0


def test_the_data_set_of_the_how_to_counts_a_days_blocks(with_blocks):
    names: dict = {}

    exec(python_of("docs/how-to/add-a-data-set.md"), names)  # noqa: S102 - as above

    with with_blocks.connect() as connection:
        window = chain_window(connection, CHAIN.name, branch(CHAIN, 4)[0].at.date())
        (row,) = connection.execute(names["rows"](window)).mappings()
    assert (row["blocks"], row["bytes"]) == (3, 3000)
    assert names["DATASET"].name == "block_size_daily"
