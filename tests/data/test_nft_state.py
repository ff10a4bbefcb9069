"""Owners of collections and first fundings follow the applied blocks, whichever way they came."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from onchain_agg.chains import Asset
from onchain_agg.errors import DataSetError
from onchain_agg.metrics.definitions import sync
from onchain_agg.warehouse import ingest
from onchain_agg.warehouse.apply import apply_blocks
from onchain_agg.warehouse.archiving import archive_days
from onchain_agg.warehouse.parquet_store import ParquetStore
from onchain_agg.warehouse.rebuild.audit import audit
from onchain_agg.warehouse.rebuild.replacing import rebuild_all
from onchain_agg.warehouse.reorg import resolve_fork
from onchain_agg.warehouse.retention import drop_cold_days
from tests.fakes.branches import DECK, EVM
from tests.fakes.chain import FakeNode, Transfer, block
from tests.fakes.scenes import scalar
from tests.fakes.warehouse import wipe

pytestmark = pytest.mark.data

ZERO, ANN, BOB, EVE = (bytes([n]) * 20 for n in range(4))
MOST = 2**256 - 1
TRAY = b"\x55" * 20
TRAYS = Asset(
    symbol="TRAY",
    address=f"0x{TRAY.hex()}",
    decimals=0,
    start_block=0,
    whale_threshold=1,
    standard=1155,
)


@pytest.fixture(scope="module")
def shared(new_database):
    with new_database() as engine:
        yield engine


def started(engine):
    """Empty the warehouse and track a collection of each standard."""
    wipe(engine)
    sync(engine, {EVM.name: [TRAYS]})


def person():
    return st.sampled_from([ZERO, ANN, BOB, EVE])


def moved(draw):
    token_id, sender, recipient = draw(st.sampled_from([0, MOST])), draw(person()), draw(person())
    kind = draw(st.sampled_from(["piece", "part", "value", "internal", "fee", "coin"]))
    amount = draw(st.sampled_from([0, 1, 2**200]))
    if kind == "piece":
        return Transfer(DECK, sender, recipient, 1, standard=721, token_id=token_id)
    if kind == "part":
        return Transfer(TRAY, sender, recipient, amount, standard=1155, token_id=token_id)
    if kind == "coin":
        # A standard that is not the collection's: neither a balance nor an owner.
        return Transfer(DECK, sender, recipient, amount)
    return Transfer(None, sender, recipient, amount, kind)


def grown(draw, trunk, length, salt):
    blocks = list(trunk)
    for _ in range(length):
        moves = tuple(moved(draw) for _ in range(draw(st.integers(0, 5))))
        blocks.append(block(blocks[-1] if blocks else None, transfers=moves, salt=salt))
    return blocks


def stored(engine):
    """Return owners, amounts and fundings as the state tells them."""
    with engine.connect() as connection:
        owners = connection.execute(
            text(
                "SELECT token_id, day, owner, height, log_index, received_at"
                " FROM state.nft_owner_day"
            )
        ).all()
        amounts = connection.execute(
            text("SELECT token_id, address, day, delta FROM state.nft_amount_delta")
        ).all()
        fundings = connection.execute(
            text("SELECT address, day, height, seq, funder FROM state.first_funding")
        ).all()
    return (
        {(int(t), day): tuple(rest) for t, day, *rest in owners},
        {(int(t), who, day): int(delta) for t, who, day, delta in amounts},
        {who: tuple(rest) for who, *rest in fundings},
    )


def may_fund(one):
    return one.kind != "fee" and one.amount > 0 and one.sender != one.recipient


def told(blocks):
    """Return the same from *blocks*, one transfer after the other."""
    owners, amounts, fundings = {}, Counter(), {}
    for found in blocks:
        day = found.at.date()
        for place, one in enumerate(found.transfers):
            if one.standard == 721:
                owners[one.token_id, day] = (one.recipient, found.height, place, found.at)
            elif one.standard == 1155:
                amounts[one.token_id, one.recipient, day] += one.amount
                amounts[one.token_id, one.sender, day] -= one.amount
            elif one.token is None and may_fund(one):
                fundings.setdefault(one.recipient, (day, found.height, place, one.sender))
    kept = {key: delta for key, delta in amounts.items() if delta and key[1] != ZERO}
    return owners, kept, fundings


def test_the_state_is_that_of_the_applied_blocks_at_every_step(shared):
    @settings(max_examples=max(settings().max_examples // 2, 1))
    @given(data=st.data())
    def holds(data):
        trunk = grown(data.draw, [], data.draw(st.integers(2, 8)), "trunk")
        old = grown(data.draw, trunk, data.draw(st.integers(1, 4)), "old")
        new = grown(data.draw, trunk, len(old) - len(trunk) + 1, "new")
        started(shared)
        node = FakeNode(EVM, old)
        # The upper part comes first, in pieces, and what lies below it later.
        bottom = data.draw(st.integers(0, len(trunk) - 1))
        cuts = sorted({bottom, len(old), *data.draw(st.sets(st.integers(bottom, len(old))))})
        for first, end in pairwise(cuts):
            ingest.load(shared, EVM, node, first, end - 1)
            apply_blocks(shared, EVM, final_height=-1)
            assert stored(shared) == told(old[bottom:end])
        if bottom and data.draw(st.booleans()):
            ingest.load(shared, EVM, node, 0, bottom - 1)
            apply_blocks(shared, EVM, final_height=-1)
            bottom = 0
        assert stored(shared) == told(old[bottom:])
        node.blocks = new
        resolve_fork(shared, EVM, node)
        assert stored(shared) == told(trunk[bottom:])
        ingest.load(shared, EVM, node, len(trunk), len(new) - 1)
        apply_blocks(shared, EVM, final_height=-1)
        assert stored(shared) == told(new[bottom:])

        audit(shared, EVM, None).check()
        rebuild_all(shared, EVM, None)

        assert stored(shared) == told(new[bottom:])

    holds()


def story():
    """Return blocks of four days: mints, a token that moves twice a day, a burn, parts."""
    days = [
        [(DECK, ZERO, ANN, 1, 0), (TRAY, ZERO, ANN, 10, 7)],
        [(DECK, ANN, BOB, 1, 0), (DECK, BOB, EVE, 1, 0), (TRAY, ANN, BOB, 4, 7)],
        [],
        [(DECK, EVE, ZERO, 1, 0), (TRAY, BOB, ZERO, 4, 7)],
        [],
        [],
    ]
    blocks = []
    for number in range(18):
        moves = [
            Transfer(
                token, sender, to, amount, standard=721 if token == DECK else 1155, token_id=which
            )
            for token, sender, to, amount, which in (days[number // 3] if number % 3 == 1 else [])
        ]
        blocks.append(block(blocks[-1] if blocks else None, transfers=moves))
    return blocks


@pytest.mark.parametrize("archived", [False, True], ids=["hot", "archived"])
def test_a_collection_that_is_tracked_later_gets_its_owners(shared, tmp_path, archived):
    wipe(shared)
    store = ParquetStore(str(tmp_path / "archive"))
    blocks = story()
    ingest.load(shared, EVM, FakeNode(EVM, blocks, chunk=100), 0, len(blocks) - 1)
    apply_blocks(shared, EVM, final_height=len(blocks) - 1)
    if archived:
        archive_days(shared, store, EVM)
        assert drop_cold_days(shared, store, EVM, hot_days=1)

    sync(shared, {EVM.name: [TRAYS]}, archive=store)

    assert stored(shared) == told(blocks)
    assert stored(shared)[1] != {}
    audit(shared, EVM, store).check()


def test_a_token_that_becomes_a_collection_has_owners_and_no_balances(shared):
    wipe(shared)
    blocks = story()
    sync(shared, {EVM.name: [replace(TRAYS, standard=20)]})
    ingest.load(shared, EVM, FakeNode(EVM, blocks, chunk=100), 0, len(blocks) - 1)
    apply_blocks(shared, EVM, final_height=-1)
    assert stored(shared)[1] == {}

    changes = sync(shared, {EVM.name: [TRAYS]})

    assert changes == ["asset TRAY of anvil: edited"]
    assert stored(shared) == told(blocks)
    sync(shared)
    assert stored(shared)[1] == {}


def test_an_audit_names_an_owner_that_is_wrong(shared):
    started(shared)
    blocks = story()
    ingest.load(shared, EVM, FakeNode(EVM, blocks, chunk=100), 0, len(blocks) - 1)
    apply_blocks(shared, EVM, final_height=-1)
    with shared.begin() as connection:
        connection.execute(
            text("UPDATE state.nft_owner_day SET owner = :ann WHERE owner = :eve"),
            {"ann": ANN, "eve": EVE},
        )
    asset = scalar(shared, "SELECT asset_id FROM state.nft_owner_day LIMIT 1")
    at = blocks[4].at

    with pytest.raises(DataSetError) as caught:
        audit(shared, EVM, None).check()

    assert str(caught.value) == (
        "anvil at block 17: state.nft_owner_day differs in 1 of 3 rows, first at"
        f" asset_id {asset}, token_id 0, day {at.date()}: stored owner 0x{ANN.hex()}, height 4,"
        f" log_index 1, received_at {at}, computed owner 0x{EVE.hex()}, height 4, log_index 1,"
        f" received_at {at}. Run `onchain-agg rebuild --chain anvil`."
    )
