"""Whatever the order of arrival, chunking and reorganisations: the same tables as a fresh build."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onchain_agg.chains import chain_named
from onchain_agg.metrics.definitions import sync
from onchain_agg.warehouse import ingest
from onchain_agg.warehouse.apply import apply_blocks, reset_state
from tests.fakes.chain import FakeNode, Spend, Transfer, block
from tests.fakes.warehouse import bring_up_to_date, contents, publish_all, wipe

pytestmark = pytest.mark.data

EVM = replace(chain_named("anvil"), batch_blocks=2)
UTXO = replace(chain_named("regtest"), batch_blocks=2)
TOKENS = [bytes.fromhex(a.address[2:]) for a in EVM.tracked_assets if a.address]
UNTRACKED = b"\x77" * 20
PEOPLE = [bytes([n]) * 20 for n in (1, 2, 3)]
ZERO = bytes(20)
AMOUNTS = st.sampled_from([0, 1, 999, 10**21, 10**39, 2**255])


@st.composite
def transfers(draw):
    """Return a block's transfers, mints and burns among them."""
    token = st.sampled_from([*TOKENS, UNTRACKED, None])
    holder = st.sampled_from([*PEOPLE, ZERO])
    return tuple(
        Transfer(draw(token), draw(holder), draw(holder), draw(AMOUNTS))
        for _ in range(draw(st.integers(0, 4)))
    )


@st.composite
def evm_branch(draw, parent, length, salt):
    """Return *length* blocks on *parent*."""
    blocks = []
    for _ in range(length):
        parent = block(parent, transfers=draw(transfers()), salt=salt)
        blocks.append(parent)
    return blocks


@st.composite
def utxo_branch(draw, parent, length, salt, unspent):
    """Return *length* blocks on *parent*; *unspent* is what they may spend, and is used up."""
    blocks = []
    for number in range(length):
        coinbase_id = f"{salt}coinbase{number}".encode().ljust(32, b".")
        address = draw(st.sampled_from([b"\x00" + PEOPLE[0], b"\x05" + PEOPLE[1], None]))
        created = [Spend((), ((address, 50 * 10**8), (None, 0)), coinbase_id)]
        unspent.append((coinbase_id, 0, 50 * 10**8))
        for index in range(draw(st.integers(0, 2))):
            txid = f"{salt}tx{number}.{index}".encode().ljust(32, b".")
            count = min(draw(st.integers(1, 2)), len(unspent))
            taken = [unspent.pop(draw(st.integers(0, len(unspent) - 1))) for _ in range(count)]
            value = sum(v for _, _, v in taken)
            people = st.sampled_from([b"\x00" + p for p in PEOPLE])
            part = value // draw(st.integers(1, 3))
            outputs = ((draw(people), part), (draw(people), value - part - min(1, value - part)))
            created.append(Spend(tuple((t, n) for t, n, _ in taken), outputs, txid))
            unspent.extend((txid, n, v) for n, (_, v) in enumerate(outputs))
        parent = block(parent, transactions=created, salt=salt)
        blocks.append(parent)
    return blocks


@st.composite
def forked(draw, family):
    """Return a common trunk and the two branches that grow from it; the second one is longer."""
    trunk_length = draw(st.integers(1, 6))
    old_length = draw(st.integers(1, 4))
    new_length = old_length + draw(st.integers(1, 2))
    if family is EVM:
        trunk = draw(evm_branch(None, trunk_length, "trunk"))
        old = draw(evm_branch(trunk[-1], old_length, "old"))
        return trunk, old, draw(evm_branch(trunk[-1], new_length, "new"))
    unspent = []
    trunk = draw(utxo_branch(None, trunk_length, "trunk", unspent))
    old = draw(utxo_branch(trunk[-1], old_length, "old", list(unspent)))
    return trunk, old, draw(utxo_branch(trunk[-1], new_length, "new", list(unspent)))


@pytest.fixture(params=[EVM, UTXO], ids=["evm", "utxo"])
def family(request):
    return request.param


@pytest.fixture
def warehouse(engine):
    sync(engine)
    return engine


def fresh(engine, chain, blocks):
    """Return what one straight run over *blocks* leaves in the tables."""
    wipe(engine)
    bring_up_to_date(engine, chain, FakeNode(chain, blocks, chunk=100))
    return contents(engine)


def test_apply_fork_and_apply_the_other_branch_equals_a_fresh_build(warehouse, family):
    @given(data=st.data())
    def holds(data):
        trunk, old, new = data.draw(forked(family))
        node = FakeNode(family, [*trunk, *old], chunk=data.draw(st.integers(1, 4)))
        wipe(warehouse)
        bring_up_to_date(warehouse, family, node)
        node.blocks = [*trunk, *new]
        bring_up_to_date(warehouse, family, node)
        reorganised = contents(warehouse)

        assert reorganised == fresh(warehouse, family, [*trunk, *new])

    holds()


def test_any_order_and_chunking_of_loads_ends_in_the_same_tables(warehouse, family):
    @given(data=st.data())
    def holds(data):
        trunk, old, _ = data.draw(forked(family))
        blocks = [*trunk, *old]
        wipe(warehouse)
        node = FakeNode(family, blocks, chunk=data.draw(st.integers(1, 4)))
        cuts = sorted(data.draw(st.sets(st.integers(1, len(blocks) - 1))) | {0, len(blocks)})
        ranges = [(a, b - 1) for a, b in pairwise(cuts)]
        for first, last in data.draw(st.permutations(ranges)):
            ingest.load(warehouse, family, node, first, last)
            if data.draw(st.booleans()):
                apply_blocks(warehouse, family, final_height=-1)
            if data.draw(st.booleans()):
                publish_all(warehouse)
        bring_up_to_date(warehouse, family, node)
        arrived = contents(warehouse)

        assert arrived == fresh(warehouse, family, blocks)

    holds()


def test_a_rebuild_of_the_state_ends_in_the_same_tables_and_publishes_nothing(warehouse, family):
    @given(data=st.data())
    def holds(data):
        trunk, old, _ = data.draw(forked(family))
        node = FakeNode(family, [*trunk, *old])
        wipe(warehouse)
        bring_up_to_date(warehouse, family, node)
        before = contents(warehouse)

        with warehouse.begin() as connection:
            reset_state(connection, family)
        windows = bring_up_to_date(warehouse, family, node)

        assert contents(warehouse) == before
        assert [w.changed for w in windows] == [0] * len(windows)

    holds()
