"""Wash flags of random sales, whatever their order of arrival, against a search of every path.

The flags that sales of one token decide together reach other days, so they are what an order of
arrival could break.
"""

from collections import Counter
from datetime import timedelta
from itertools import pairwise, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from onchain_agg.warehouse import ingest
from onchain_agg.warehouse.apply import apply_blocks
from tests.fakes import warehouse as fakes
from tests.fakes.branches import DECK, EVM
from tests.fakes.chain import START, FakeNode, Sale, Transfer, block
from tests.fakes.warehouse import bring_up_to_date, publish_all, wipe

pytestmark = pytest.mark.data

TRADERS = [bytes([n]) * 20 for n in range(1, 7)]
LONGEST = 5


@pytest.fixture(autouse=True)
def only_sales(monkeypatch):
    monkeypatch.setattr(fakes, "PUBLISHED", ("nft_trade", "nft_wash_trade"))


@st.composite
def branch(draw, trunk, salt):
    """Return blocks on *trunk*, one a day, each with up to four sales of two tokens."""
    trader = st.sampled_from(TRADERS)
    blocks, parent = [], trunk[-1] if trunk else None
    for _ in range(draw(st.integers(2, 4))):
        moves = [
            Transfer(DECK, draw(trader), draw(trader), 1, standard=721, token_id=token)
            for token in draw(st.lists(st.sampled_from([1, 1, 2]), max_size=4))
        ]
        sales = [Sale(n, 10**18, flash_loan=n == 3) for n in range(len(moves))]
        at = START + timedelta(days=40 * (len(trunk) + len(blocks)))
        parent = block(parent, transfers=moves, sales=sales, salt=salt, at=at)
        blocks.append(parent)
    return blocks


def flags_by_search(blocks):
    """Return the flags of every sale that has some, by height and position."""
    sales = [(b.height, n, move) for b in blocks for n, move in enumerate(b.transfers)]
    found = {}
    for token in (1, 2):
        own = [one for one in sales if one[2].token_id == token]
        pairs = {(move.sender, move.recipient) for _, _, move in own}
        in_a_circle = _on_cycles(pairs)
        sold = Counter(move.sender for _, _, move in own)
        bought = Counter(move.recipient for _, _, move in own)
        for height, n, move in own:
            pair = (move.sender, move.recipient)
            to_oneself = move.sender == move.recipient
            flags = 1 * to_oneself + 16 * (n == 3)
            flags += 2 * (not to_oneself and pair[::-1] in pairs)
            flags += 4 * (max(sold[move.sender], bought[move.recipient]) >= 3)
            flags += 32 * (pair in in_a_circle)
            if flags:
                found[height, n] = flags
    return found


def _on_cycles(pairs):
    rings = (
        [*ring, ring[0]]
        for length in range(3, LONGEST + 1)
        for ring in permutations(TRADERS, length)
        if all(step in pairs for step in pairwise(ring))
    )
    return {step for ring in rings if (ring[-2], ring[-1]) in pairs for step in pairwise(ring)}


def served(engine):
    """Return the flags that readers see, by height and position of the sale among the block's."""
    query = text(
        "SELECT t.height, t.tx_index, w.flags FROM serving.nft_wash_trade w JOIN serving.nft_trade"
        " t USING (chain, day, block_hash, log_index, item_index)"
    )
    with engine.connect() as connection:
        return {(height, n): flags for height, n, flags in connection.execute(query)}


def waiting(engine):
    with engine.connect() as connection:
        return connection.scalar(
            text("SELECT count(*) FROM ops.dirty WHERE dataset IN ('nft_trade', 'nft_wash_trade')")
        )


def test_flags_are_those_of_a_search_whatever_the_order_and_after_a_fork(warehouse):
    reached = Counter()

    @settings(max_examples=max(settings().max_examples // 3, 1))
    @given(data=st.data())
    def holds(data):
        trunk = data.draw(branch([], "trunk"))
        old, new = data.draw(branch(trunk, "old")), data.draw(branch(trunk, "new"))
        wipe(warehouse)
        node = FakeNode(EVM, [*trunk, *old], chunk=2)
        cuts = sorted(data.draw(st.sets(st.integers(1, len(node.blocks) - 1), max_size=3)))
        ranges = [(a, b - 1) for a, b in pairwise([0, *cuts, len(node.blocks)])]
        for first, last in data.draw(st.permutations(ranges)):
            ingest.load(warehouse, EVM, node, first, last)
            apply_blocks(warehouse, EVM, final_height=-1)
            publish_all(warehouse)
        straight = served(warehouse)
        longer = new if len(new) > len(old) else [*new, *_empty_on(new, len(old))]
        node.blocks = [*trunk, *longer]
        bring_up_to_date(warehouse, EVM, node)
        reached.update(straight.values())

        assert straight == flags_by_search([*trunk, *old])
        assert served(warehouse) == flags_by_search(node.blocks)
        assert waiting(warehouse) == 0

    holds()
    # Or the examples would say nothing of the flags that reach other days.
    assert {bit for bit in (1, 2, 4, 16, 32) if any(flags & bit for flags in reached)} == {
        1,
        2,
        4,
        16,
        32,
    }


def _empty_on(blocks, count):
    parent, more = blocks[-1], []
    for _ in range(count):
        parent = block(parent, salt="empty", at=parent.at + timedelta(days=1))
        more.append(parent)
    return more
