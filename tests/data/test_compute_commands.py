"""``onchain-agg compute`` and ``backfill`` say in one line why there is nothing to compute."""

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from onchain_agg.cli import main
from tests.fakes.chain import FakeNode
from tests.fakes.scenes import EVM, branch
from tests.fakes.warehouse import bring_up_to_date

pytestmark = [pytest.mark.data, pytest.mark.few_data_sets]


@pytest.fixture
def run(warehouse, monkeypatch):
    """Return a function that runs a command on the warehouse; returns its code and its lines."""
    url = warehouse.url.render_as_string(hide_password=False)
    monkeypatch.setenv("ONCHAIN_AGG_WAREHOUSE_URL", url)

    def command(*words):
        result = CliRunner().invoke(main, words)
        return result.exit_code, result.output.splitlines()

    return command


def mark(engine, dataset, *scopes):
    with engine.begin() as connection:
        for scope in scopes:
            connection.execute(
                text("INSERT INTO ops.dirty (dataset, scope, day) VALUES (:d, :s, '2026-03-01')"),
                {"d": dataset, "s": scope},
            )


def test_chains_without_data_are_told_in_one_line(run, warehouse):
    bring_up_to_date(warehouse, EVM, FakeNode(EVM, branch(EVM, 3)))
    mark(warehouse, "whale_transfer", "polygon", "anvil", "base")
    mark(warehouse, "top_holders_daily", "polygon", "base")

    code, lines = run("compute")

    assert code == 0
    assert [line for line in lines if line.startswith("whale_transfer, ")] == [
        "whale_transfer, anvil: 1 windows, 0 rows changed."
    ]
    assert lines[-1] == "No data yet, so nothing to compute: base, polygon."
    assert not any("base" in line for line in [*lines[:-1], *run("compute")[1]])


@pytest.mark.parametrize(
    ("dataset", "scope", "lacking"),
    [("whale_transfer", "anvil", "applied blocks"), ("market_price_daily", "global", "facts")],
)
def test_a_backfill_says_that_its_days_hold_nothing(run, dataset, scope, lacking):
    words = ["backfill", dataset, "--scope", scope, "--from", "2020-01-01", "--to", "2020-01-03"]

    assert run(*words) == (
        0,
        [
            (
                f"{dataset}, {scope}: no day from 2020-01-01 to 2020-01-03 has {lacking}, so none"
                " of them is computed."
            ),
            f"{dataset}, {scope}: 0 windows, 0 rows changed.",
        ],
    )
