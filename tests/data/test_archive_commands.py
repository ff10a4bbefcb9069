"""``onchain-agg archive`` and ``audit``: what they do, and what they print."""

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from onchain_agg.cli import main
from onchain_agg.command_errors import BAD_INPUT, FAILED
from tests.fakes.archived import DAYS, EVM, filled, rows_by_day
from tests.fakes.warehouse import contents

pytestmark = [pytest.mark.data, pytest.mark.few_data_sets]


@pytest.fixture
def run(warehouse, monkeypatch, tmp_path):
    """Return a function that runs a command on a filled warehouse; returns its code and text."""
    url = warehouse.url.render_as_string(hide_password=False)
    monkeypatch.setenv("ONCHAIN_AGG_WAREHOUSE_URL", url)
    monkeypatch.setenv("ONCHAIN_AGG_ARCHIVE_URL", str(tmp_path / "archive"))
    monkeypatch.setenv("ONCHAIN_AGG_HOT_DAYS", "2")
    filled(warehouse, EVM)

    def command(*words):
        result = CliRunner().invoke(main, words)
        return result.exit_code, result.output

    return command


def test_days_are_archived_dropped_audited_and_restored(run, warehouse, tmp_path):
    before, hot = contents(warehouse), rows_by_day(warehouse, EVM)

    archived = run("archive", "run", "anvil", "--drop")

    size = sum(path.stat().st_size for path in (tmp_path / "archive").rglob("*.parquet"))
    left = hot - rows_by_day(warehouse, EVM)
    assert archived == (
        0,
        f"anvil: 3 days archived, {left + 9} rows in {size:,} bytes.\nanvil: 2 days dropped.\n",
    )
    assert run("archive", "verify", "anvil") == (
        0,
        "anvil: 18 files hold what was archived.\n",
    )
    with warehouse.connect() as connection:
        counts = [
            connection.scalar(text(f"SELECT count(*) FROM state.{name}"))
            for name in ("balance", "balance_delta")
        ]
    assert run("audit", "anvil") == (
        0,
        (
            "anvil at block 13: 4 days of facts, 2 from the archive. Rows that agree: state.balance"
            f" {counts[0]}, state.balance_delta {counts[1]}, state.nft_owner_day 0,"
            " state.nft_amount_delta 0, state.first_funding 0.\n"
        ),
    )
    assert run("archive", "restore", "anvil", "--from", str(DAYS[0])) == (
        0,
        f"anvil: 2 days restored, {left} rows.\n",
    )
    assert contents(warehouse) == before


def test_a_lost_file_fails_the_check_and_is_named(run, tmp_path):
    run("archive", "run", "anvil")
    lost = "chain.token_transfer/chain=anvil/day=2026-03-02/v1.parquet"
    (tmp_path / "archive" / lost).unlink()

    code, printed = run("archive", "verify", "anvil", "--to", str(DAYS[1]))

    assert (code, printed) == (
        FAILED,
        (
            f"Error: 1 of 12 files: {lost} is not in the archive {tmp_path / 'archive'}."
            " Restore it from its backup.\n"
        ),
    )


def test_a_difference_fails_the_audit(run, warehouse):
    with warehouse.begin() as connection:
        connection.execute(text("DELETE FROM state.balance_delta WHERE day = '2026-03-02'"))

    code, printed = run("audit", "anvil")

    assert code == FAILED
    assert printed.startswith("Error: anvil at block 13: state.balance_delta differs in ")


def test_without_an_archive_there_is_nothing_to_run(run, monkeypatch):
    monkeypatch.delenv("ONCHAIN_AGG_ARCHIVE_URL")

    assert run("archive", "run", "anvil") == (
        BAD_INPUT,
        (
            "Error: There is no archive. Set [onchain_agg] archive_url to a folder or"
            " s3://bucket/prefix.\n"
        ),
    )
