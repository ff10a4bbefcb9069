"""Debits and the monthly matrix, counted once more from the blocks themselves."""

from collections import Counter, defaultdict
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from onchain_agg.warehouse.apply import apply_blocks
from onchain_agg.warehouse.reorg import resolve_fork
from tests.fakes.branches import EVM, PEOPLE, TOKENS, UTXO, ZERO, forked
from tests.fakes.chain import FakeNode, Spend, Transfer, block
from tests.fakes.warehouse import load_all, wipe

pytestmark = [pytest.mark.data, pytest.mark.few_data_sets]

ALICE, BOB = PEOPLE[:2]
NO_TOKEN = b""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def follow(engine, node):
    load_all(engine, node.chain, node)
    resolve_fork(engine, node.chain, node)
    load_all(engine, node.chain, node)
    apply_blocks(engine, node.chain, final_height=-1)


def debits(engine):
    """Return how often each address sent, by day and asset; and the changes of those that did."""
    query = text(
        "SELECT day, a.address AS asset, d.address, debits, delta FROM state.balance_delta d"
        " JOIN ops.asset a USING (asset_id) WHERE debits <> 0"
    )
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    return (
        {(row.day, row.asset, row.address): row.debits for row in rows},
        {(row.day, row.asset, row.address): int(row.delta) for row in rows},
    )


def sent(blocks):
    """Return the transfers that each address sent to another, by day and asset."""
    tracked = {None, *TOKENS}
    return Counter(
        (b.at.date(), t.token or NO_TOKEN, t.sender)
        for b in blocks
        for t in b.transfers
        if t.token in tracked
        and t.amount
        # What pays for a block comes from nobody.
        and t.sender is not None
        and t.sender != t.recipient
        # A token's zero address is nobody; that of the coin is an address like any other.
        and not (t.token and t.sender == ZERO)
    )


def spent(blocks):
    """Return the inputs of each address, by day, for the chain's own coin."""
    outputs = {
        (tx.txid, n): address
        for b in blocks
        for tx in b.transactions
        for n, (address, _) in enumerate(tx.outputs)
    }
    inputs = ((b, outputs[i]) for b in blocks for tx in b.transactions for i in tx.inputs)
    return Counter((b.at.date(), NO_TOKEN, address) for b, address in inputs if address)


@pytest.mark.parametrize(("family", "counted"), [(EVM, sent), (UTXO, spent)], ids=["evm", "utxo"])
def test_after_any_fork_debits_and_months_are_those_of_the_blocks_that_are_left(
    warehouse, family, counted
):
    @given(data=st.data())
    def holds(data):
        trunk, old, new = data.draw(forked(family))
        node = FakeNode(family, [*trunk, *old], chunk=100)
        wipe(warehouse)
        follow(warehouse, node)
        node.blocks = [*trunk, *new]
        follow(warehouse, node)

        assert debits(warehouse)[0] == counted(node.blocks)
        assert months(warehouse) == sums_of_days(warehouse)

    holds()


def test_who_passes_on_what_it_received_has_sent_and_changed_by_nothing(warehouse):
    moves = [
        Transfer(TOKENS[0], ZERO, ALICE, 7),
        Transfer(TOKENS[0], ALICE, BOB, 3),
        Transfer(TOKENS[0], ALICE, BOB, 4),
        # None of these is a transfer to another address.
        Transfer(TOKENS[0], BOB, BOB, 7),
        Transfer(TOKENS[0], BOB, ALICE, 0),
    ]
    first = block(None, transfers=moves)

    follow(warehouse, FakeNode(EVM, [first]))

    key = (first.at.date(), TOKENS[0], ALICE)
    assert debits(warehouse) == ({key: 2}, {key: 0})


def test_who_pays_for_a_block_has_not_sent(warehouse):
    moves = [
        Transfer(None, None, ALICE, 100, "genesis"),
        Transfer(None, ALICE, None, 5, "fee"),
        Transfer(None, ALICE, BOB, 2, "tip"),
        Transfer(None, BOB, None, 1, "selfdestruct"),
    ]
    first = block(None, transfers=moves)

    follow(warehouse, FakeNode(EVM, [first]))

    key = (first.at.date(), NO_TOKEN, BOB)
    assert debits(warehouse) == ({key: 1}, {key: 1})


def test_months_are_the_sums_of_their_days_and_lost_outputs_are_gone_too(warehouse):
    coinbase = Spend((), ((b"\x00" + ALICE, 50),), b"same".ljust(32, b"."))
    sending = Spend(((coinbase.txid, 0),), ((b"\x00" + BOB, 49),), b"sent".ljust(32, b"."))
    fee = Spend((), ((b"\x00" + BOB, 51),), b"other".ljust(32, b"."))
    first = block(None, transactions=[coinbase], at=datetime(2010, 1, 30, 23, tzinfo=UTC))
    # The same txid again: the first 50 are lost (BIP 30).
    again = block(first, transactions=[coinbase], at=datetime(2010, 1, 31, 23, tzinfo=UTC))
    last = block(again, transactions=[fee, sending], at=datetime(2010, 2, 1, 1, tzinfo=UTC))
    orphan = block(again, transactions=[fee], at=datetime(2010, 2, 1, 1, tzinfo=UTC))
    node = FakeNode(UTXO, [first, again, orphan])
    follow(warehouse, node)
    node.blocks = [first, again, last]
    follow(warehouse, node)

    lost_on, spent_on = ((b.at - EPOCH).days for b in (again, last))
    assert months(warehouse) == [
        (date(2010, 1, 1), date(2010, 1, 30), 50, 1, 0, 50 * lost_on),
        (date(2010, 2, 1), date(2010, 1, 31), 50, 1, 50 * 7200, 50 * spent_on),
    ]
    assert months(warehouse) == sums_of_days(warehouse)


def months(engine):
    """Return the monthly matrix."""
    query = text(
        "SELECT spend_month, created_day, value, outputs, coin_seconds, value_days"
        " FROM state.spent_output_monthly ORDER BY 1, 2"
    )
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query)]


def sums_of_days(engine):
    """Return the monthly matrix as the daily one adds up to it."""
    with engine.connect() as connection:
        days = connection.execute(text("SELECT * FROM state.spent_output_daily")).all()
    sums = defaultdict(Counter)
    for row in days:
        sums[row.spend_day.replace(day=1), row.created_day].update(
            value=row.value,
            outputs=row.outputs,
            coin_seconds=0 if row.overwritten else row.coin_seconds,
            value_days=row.value * (row.spend_day - EPOCH.date()).days,
        )
    return [(*key, *month.values()) for key, month in sorted(sums.items())]
