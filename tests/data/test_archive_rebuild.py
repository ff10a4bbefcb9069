"""The heavy path makes the same state as block by block, and the audit finds what differs."""

from dataclasses import replace
from datetime import date

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet as pq
from sqlalchemy import text

from onchain_agg.chains import Asset
from onchain_agg.errors import ConfigError, DataSetError, SourceError
from onchain_agg.metrics.definitions import sync
from onchain_agg.warehouse import ingest
from onchain_agg.warehouse.apply import apply_blocks
from onchain_agg.warehouse.archiving import archive_day, archive_days, final_days, restore_day
from onchain_agg.warehouse.parquet_store import ParquetStore
from onchain_agg.warehouse.rebuild import replacing
from onchain_agg.warehouse.rebuild.audit import AuditReport, Compared, Difference, audit
from onchain_agg.warehouse.rebuild.replacing import rebuild_all, rebuild_balances, rebuild_matrix
from onchain_agg.warehouse.rebuild.scratch import Limits
from onchain_agg.warehouse.retention import drop_cold_days
from tests.fakes import branches
from tests.fakes.archived import DAYS, EVM, UTXO, filled
from tests.fakes.chain import FakeNode, Spend, Transfer, block
from tests.fakes.scenes import KRILL, PEOPLE, ZERO, branch, scalar
from tests.fakes.warehouse import contents, wipe

pytestmark = pytest.mark.data

STATE = (
    "state.balance",
    "state.balance_delta",
    "state.utxo",
    "state.created_output_daily",
    "state.spent_output_daily",
    "state.spent_output_monthly",
)


@pytest.fixture(scope="module")
def shared(new_database):
    """Yield one warehouse for the whole module; `empty` wipes it for each test."""
    with new_database() as engine:
        yield engine


@pytest.fixture
def empty(shared):
    wipe(shared)
    return shared


@pytest.fixture(params=[EVM, UTXO], ids=["evm", "utxo"])
def family(request):
    return request.param


@pytest.fixture
def store(tmp_path):
    return ParquetStore(str(tmp_path / "archive"))


OWNERS = ("state.nft_owner_day", "state.nft_amount_delta", "state.first_funding")


def forget_state(engine):
    """Empty the tables that the heavy path makes."""
    with engine.begin() as connection:
        for name in (*STATE, *OWNERS):
            connection.execute(text(f"DELETE FROM {name}"))


def archived(engine, store, chain, blocks=None):
    """Fill the warehouse and let the cold days leave."""
    filled(engine, chain, blocks)
    archive_days(engine, store, chain)
    drop_cold_days(engine, store, chain, hot_days=1)


def test_what_is_archived_restored_or_dropped_changes_no_balance_and_no_row(
    empty, family, tmp_path
):
    numbers = iter(range(10_000))
    chain = replace(branches.EVM, batch_blocks=100) if family is EVM else family
    drawn_from = branches.EVM if family is EVM else branches.UTXO

    @settings(max_examples=4)
    @given(data=st.data())
    def holds(data):
        wipe(empty)
        blocks = data.draw(branches.branch_of(drawn_from, [], 10, "trunk"))
        store = ParquetStore(str(tmp_path / str(next(numbers))))
        filled(empty, chain, blocks)
        before = contents(empty)
        for day in data.draw(st.lists(st.sampled_from(DAYS[:2]), max_size=2, unique=True)):
            archive_day(empty, store, chain, day)
        drop_cold_days(empty, store, chain, hot_days=data.draw(st.integers(1, 3)))
        for day in data.draw(st.lists(st.sampled_from(DAYS[:2]), max_size=2, unique=True)):
            restore_day(empty, store, chain, day)

        audit(empty, chain, store).check()
        forget_state(empty)
        rebuild_all(empty, chain, store)

        with empty.connect() as connection:
            for day in final_days(connection, chain):
                restore_day(empty, store, chain, day)
        assert contents(empty) == before

    holds()


def test_each_part_is_rebuilt_alone(empty, store):
    archived(empty, store, UTXO)
    before = contents(empty)
    forget_state(empty)

    matrix = rebuild_matrix(empty, UTXO, store)
    balances = rebuild_balances(empty, UTXO, store)

    assert {**matrix, **balances} == {name: len(before[name]) for name in STATE}
    assert contents(empty) == before


def test_blocks_that_are_applied_meanwhile_are_added(empty, family, store, monkeypatch):
    blocks = branch(family, 18)
    archived(empty, store, family, blocks[:14])
    collect = replacing._collect

    def meanwhile(*arguments):
        collect(*arguments)
        ingest.load(empty, family, FakeNode(family, blocks, chunk=100), 14, 17)
        apply_blocks(empty, family, final_height=13)

    monkeypatch.setattr(replacing, "_collect", meanwhile)

    rebuild_all(empty, family, store)

    assert scalar(empty, "SELECT height FROM state.tip") == 17
    audit(empty, family, store).check()


def test_a_fork_during_the_computation_writes_nothing(empty, store, monkeypatch):
    archived(empty, store, EVM)
    before = contents(empty)
    collect = replacing._collect

    def meanwhile(*arguments):
        collect(*arguments)
        with empty.begin() as connection:
            connection.execute(text("UPDATE state.tip SET height = height - 1"))

    monkeypatch.setattr(replacing, "_collect", meanwhile)

    with pytest.raises(SourceError, match=r"^anvil was reorganised or got older blocks"):
        rebuild_all(empty, EVM, store)

    with empty.begin() as connection:
        connection.execute(text("UPDATE state.tip SET height = height + 1"))
    assert contents(empty) == before


def test_the_largest_amounts_are_exact(empty, store):
    most = 2**256 - 1
    first = block(None, transfers=[Transfer(KRILL, ZERO, PEOPLE[0], most)] * 3)
    second = block(first, transfers=[Transfer(KRILL, PEOPLE[0], PEOPLE[1], most)] * 2)
    blocks = [first, second]
    while len(blocks) < 10:
        blocks.append(block(blocks[-1]))
    archived(empty, store, EVM, blocks)

    rebuild_balances(empty, EVM, store)

    held = "SELECT balance FROM state.balance WHERE address = :who"
    assert scalar(empty, held, who=PEOPLE[0]) == most
    assert scalar(empty, held, who=PEOPLE[1]) == 2 * most
    audit(empty, EVM, store).check()


def test_a_repeated_coinbase_overwrites_what_was_not_spent(empty, store):
    address, twice = b"\x00" + PEOPLE[0], b"twice".ljust(32, b".")
    first = block(None, transactions=[Spend((), ((address, 50),), twice)])
    second = block(first, transactions=[Spend((), ((address, 40),), twice)])
    third_id = b"third".ljust(32, b".")
    spend = Spend((((twice, 0)),), ((address, 39),), b"spend".ljust(32, b"."))
    blocks = [first, second]
    blocks.append(block(second, transactions=[Spend((), ((address, 30),), third_id), spend]))
    while len(blocks) < 10:
        coinbase = Spend((), ((address, 1),), f"c{len(blocks)}".encode().ljust(32, b"."))
        blocks.append(block(blocks[-1], transactions=[coinbase]))
    archived(empty, store, UTXO, blocks)
    before = contents(empty)
    forget_state(empty)

    rebuild_all(empty, UTXO, store)

    assert contents(empty) == before
    lost = "SELECT value FROM state.spent_output_daily WHERE overwritten"
    assert scalar(empty, lost) == 50


def test_an_asset_that_is_added_later_is_read_from_the_archive(empty, store):
    new, blocks = b"\x99" * 20, []
    for _ in range(10):
        moved = Transfer(new, ZERO, PEOPLE[0], 5)
        blocks.append(block(blocks[-1] if blocks else None, transfers=[moved]))
    archived(empty, store, EVM, blocks)
    asset = Asset(
        symbol="NEW", address=f"0x{new.hex()}", decimals=0, start_block=0, whale_threshold=1
    )
    extra = {EVM.name: [asset]}

    with pytest.raises(ConfigError, match="Set archive_url to the archive to read it"):
        sync(empty, extra)
    sync(empty, extra, archive=store)

    assert scalar(empty, "SELECT balance FROM state.balance") == 50
    audit(empty, EVM, store).check()


def test_an_audit_names_table_key_and_both_figures(empty, store):
    archived(empty, store, EVM)
    # As an integer: a Decimal of 39 digits rounds when one is added.
    most = "SELECT max(balance) FROM state.balance WHERE address = :a"
    held = int(scalar(empty, most, a=PEOPLE[0]))
    with empty.begin() as connection:
        connection.execute(
            text("UPDATE state.balance SET balance = balance + 1 WHERE balance = :held"),
            {"held": held},
        )

    report = audit(empty, EVM, store)

    asset = scalar(empty, "SELECT asset_id FROM state.balance WHERE balance = :b", b=held + 1)
    key = {"asset_id": asset, "address": PEOPLE[0]}
    wrong = Difference(key, {"balance": held + 1}, {"balance": held})
    rows = scalar(empty, "SELECT count(*) FROM state.balance")
    deltas = scalar(empty, "SELECT count(*) FROM state.balance_delta")
    owners = {name: scalar(empty, f"SELECT count(*) FROM {name}") for name in OWNERS}
    assert report == AuditReport(
        "anvil",
        13,
        4,
        3,
        (
            Compared("state.balance", rows, 1, (wrong,)),
            Compared("state.balance_delta", deltas, 0, ()),
            *(Compared(name, count, 0, ()) for name, count in owners.items()),
        ),
    )
    with pytest.raises(DataSetError) as told:
        report.check()
    assert str(told.value) == (
        f"anvil at block 13: state.balance differs in 1 of {rows} rows, first at asset_id {asset},"
        f" address 0x{PEOPLE[0].hex()}: stored balance {held + 1}, computed balance {held}."
        " Run `onchain-agg rebuild --chain anvil`."
    )


def test_an_audit_tells_rows_that_one_side_lacks(empty, store):
    archived(empty, store, UTXO)
    with empty.begin() as connection:
        connection.execute(text("DELETE FROM state.created_output_daily WHERE day = '2026-03-02'"))
        connection.execute(text("UPDATE state.utxo SET vout = vout + 7 WHERE created_height = 9"))

    report = audit(empty, UTXO, store)

    differing = {table.table: table.differing for table in report.tables if table.differing}
    assert differing == {"state.utxo": 1, "state.created_output_daily": 2}
    coins, created = (table for table in report.tables if table.differing)
    assert coins.first[0].key == {"created_day": date(2026, 3, 3), "coinbase": False}
    assert [one.key["coinbase"] for one in created.first] == [False, True]
    assert all(one.stored is None and one.computed is not None for one in created.first)


def test_too_little_memory_says_what_to_give(empty, store, tmp_path):
    archived(empty, store, EVM)

    with pytest.raises(ConfigError, match="DuckDB could not finish with 1KB of memory and files"):
        audit(empty, EVM, store, Limits("1KB", tmp_path))


def test_a_chain_without_blocks_has_no_state_to_audit(empty, store):
    with pytest.raises(ConfigError) as told:
        audit(empty, EVM, store)

    assert str(told.value) == "No block of anvil was applied. Ingest it first."


def test_a_file_that_is_gone_is_told_by_the_audit(empty, store, tmp_path):
    archived(empty, store, EVM)
    gone = "chain.token_transfer/chain=anvil/day=2026-03-01/v1.parquet"
    (tmp_path / "archive" / gone).unlink()

    with pytest.raises(DataSetError) as told:
        audit(empty, EVM, store)

    assert str(told.value) == (
        f"{gone} is not in the archive {store.root_url}. Restore it from its backup."
    )


def tripled(rows):
    amounts = [amount.as_py() for amount in rows.column("amount")]
    amounts[0] = (3 * int.from_bytes(amounts[0])).to_bytes(32)
    place = rows.schema.get_field_index("amount")
    return rows.set_column(place, rows.schema.field(place), pa.array(amounts, pa.binary(32)))


ALTERED = "chain.token_transfer/chain=anvil/day=2026-03-02/v1.parquet"


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda rows: rows.slice(2), id="two rows cut"),
        pytest.param(tripled, id="an amount times three"),
    ],
)
def test_a_file_that_was_altered_rebuilds_nothing(empty, store, tmp_path, damage):
    archived(empty, store, EVM)
    before, stated = contents(empty), store.sha256(ALTERED)
    path = tmp_path / "archive" / ALTERED
    with pq.ParquetFile(path) as file:
        rows = file.read()
    pq.write_table(damage(rows), path)

    with pytest.raises(DataSetError) as told:
        rebuild_balances(empty, EVM, store)

    assert str(told.value) == (
        f"{ALTERED} has SHA-256 {store.sha256(ALTERED)}, but its manifest says {stated}."
        " Restore it from its backup."
    )
    assert contents(empty) == before


def test_a_file_with_the_manifest_of_other_rows_rebuilds_nothing(empty, store):
    archived(empty, store, EVM)
    before, manifest = contents(empty), store.manifest(ALTERED)
    store.write_manifest(ALTERED, {**manifest, "rows": manifest["rows"] - 2})

    with pytest.raises(DataSetError) as told:
        rebuild_balances(empty, EVM, store)

    rows, checksum = manifest["rows"], manifest["checksum"]
    assert str(told.value) == (
        f"{ALTERED} was archived with {rows} rows with checksum {checksum}, but {rows - 2} rows"
        f" with checksum {checksum} are in it now. Restore that file from its backup."
    )
    assert contents(empty) == before
