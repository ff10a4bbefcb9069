"""Hypothesis strategies for branches of both families, with everything that state must follow."""

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st

from onchain_agg.chains import chain_named
from tests.fakes.chain import START, STEP, FakeBlock, Spend, Transfer, block
from tests.fakes.deals import ALWAYS_SOLD, deals

EVM = replace(chain_named("anvil"), batch_blocks=2)
UTXO = replace(chain_named("regtest"), batch_blocks=2)
TOKENS = [
    bytes.fromhex(a.address[2:]) for a in EVM.tracked_assets if a.address and a.standard == 20
]
(DECK,) = [bytes.fromhex(a.address[2:]) for a in EVM.tracked_assets if a.standard == 721]
UNTRACKED = b"\x77" * 20
PEOPLE = [bytes([n]) * 20 for n in (1, 2, 3)]
ZERO = bytes(20)
# Where an example publishes every data set several times.
FEW = settings(max_examples=max(settings().max_examples // 4, 1))
AMOUNTS = st.sampled_from([0, 1, 999, 10**21, 10**39, 2**255])
REST = timedelta(days=366)
_BEFORE_REST = 2  # blocks


def steadily(height: int) -> datetime:
    """Return the time of a block where one follows the other by some hours."""
    return START + height * STEP


def after_a_rest(height: int) -> datetime:
    """Return the time of a block where nothing happens for a year after the first ones."""
    # The past is moved: facts of the future are refused.
    return steadily(height) - (REST if height < _BEFORE_REST else timedelta(0))


@st.composite
def transfers(draw, held):
    """Return a block's transfers, mints and burns among them, and book them in *held*."""
    token = st.sampled_from([*TOKENS, UNTRACKED, None])
    sender, recipient = st.sampled_from([ZERO, *PEOPLE]), st.sampled_from([*PEOPLE, ZERO])
    moves = []
    for _ in range(draw(st.integers(0, 4))):
        moved = Transfer(draw(token), draw(sender), draw(recipient), draw(AMOUNTS))
        if moved.sender != ZERO:
            # Nobody sends what it does not have.
            moved = replace(moved, amount=min(moved.amount, held[moved.token, moved.sender]))
        elif moved.token is None:
            moved = replace(moved, sender=None, kind="reward")
        book(held, moved)
        moves.append(moved)
    return tuple(moves)


def book(held, moved):
    """Move an amount from its sender to its recipient."""
    held[moved.token, moved.sender] -= moved.amount
    held[moved.token, moved.recipient] += moved.amount


@st.composite
def evm_branch(draw, trunk, length, salt, at=steadily):
    """Return *length* blocks on *trunk*; *at* tells a height's time."""
    blocks, held, owners = [], Counter(), {}
    for moved in (t for b in trunk for t in b.transfers):
        book(held, moved)
        if moved.standard == 721:
            owners[moved.token_id] = moved.recipient
    parent = trunk[-1] if trunk else None
    for _ in range(length):
        height = _next(parent)
        moves = draw(transfers(held)) + draw(pieces(owners))
        if at is after_a_rest:
            moves += _around_the_rest(height, held)
        sales, bids = draw(deals(moves))
        parent = block(parent, transfers=moves, sales=sales, bids=bids, salt=salt, at=at(height))
        blocks.append(parent)
    return blocks


@st.composite
def pieces(draw, owners):
    """Return a block's transfers of NFTs, mints and burns among them, and note who has what.

    Now and then somebody sends what another has: a transfer was not told.
    """
    person = st.sampled_from([*PEOPLE, ZERO])
    moves = []
    for _ in range(draw(st.integers(0, 3))):
        token_id = draw(st.sampled_from([0, 1, 2**256 - 1]))
        sender = owners.get(token_id, ZERO)
        if draw(st.integers(0, 7)) == 0:
            sender = draw(person)
        owners[token_id] = draw(person)
        moves.append(Transfer(DECK, sender, owners[token_id], 1, standard=721, token_id=token_id))
    return tuple(moves)


def _around_the_rest(height: int, held: Counter) -> tuple[Transfer, ...]:
    """Return what everybody gets before the rest and moves when it is over; book it in *held*."""
    moves: list[Transfer] = []
    for person, other in pairwise([*PEOPLE, PEOPLE[0]]):
        if height == 0:
            moves.append(Transfer(None, None, person, 10**21, "reward"))
        elif height == _BEFORE_REST and held[None, person]:
            moves.append(Transfer(None, person, other, min(held[None, person], 10**20)))
    for moved in moves:
        book(held, moved)
    return (*moves, *_sold_around_the_rest(height))


def _sold_around_the_rest(height: int) -> list[Transfer]:
    """Return how an NFT is minted before the rest, and sold forth and back when it is over."""
    way = {0: [ZERO, PEOPLE[0]], _BEFORE_REST: [PEOPLE[0], PEOPLE[1], PEOPLE[0]]}.get(height, [])
    return [
        Transfer(DECK, one, other, 1, standard=721, token_id=ALWAYS_SOLD)
        for one, other in pairwise(way)
    ]


@st.composite
def utxo_branch(draw, trunk, length, salt, at=steadily):
    """Return *length* blocks on *trunk* that spend what is unspent there."""
    blocks, unspent = [], unspent_after(trunk)
    parent = trunk[-1] if trunk else None
    for number in range(length):
        coinbase_id = f"{salt}coinbase{number}".encode().ljust(32, b".")
        address = draw(st.sampled_from([b"\x00" + PEOPLE[0], b"\x05" + PEOPLE[1], None]))
        created = [Spend((), ((address, 50 * 10**8), (None, 0)), coinbase_id)]
        unspent.append((coinbase_id, 0, 50 * 10**8))
        # When a rest is over, somebody always sends all there is to one address.
        wakes = at is after_a_rest and _next(parent) == _BEFORE_REST
        for index in range(draw(st.integers(int(wakes), 2))):
            txid = f"{salt}tx{number}.{index}".encode().ljust(32, b".")
            sweeps = wakes and index == 0
            count = len(unspent) if sweeps else min(draw(st.integers(1, 2)), len(unspent))
            taken = [unspent.pop(draw(st.integers(0, len(unspent) - 1))) for _ in range(count)]
            value = sum(v for _, _, v in taken)
            people = st.sampled_from([b"\x00" + p for p in PEOPLE])
            part = value if sweeps else value // draw(st.integers(1, 3))
            outputs = ((draw(people), part), (draw(people), value - part - min(1, value - part)))
            created.append(Spend(tuple((t, n) for t, n, _ in taken), outputs, txid))
            unspent.extend((txid, n, v) for n, (_, v) in enumerate(outputs))
        parent = block(parent, transactions=created, salt=salt, at=at(_next(parent)))
        blocks.append(parent)
    return blocks


def _next(parent: FakeBlock | None) -> int:
    return 0 if parent is None else parent.height + 1


def unspent_after(blocks):
    """Return txid, vout and value of every output that *blocks* leave unspent, oldest first."""
    unspent = {}
    for found in blocks:
        for tx in found.transactions:
            for spent in tx.inputs:
                del unspent[spent]
            outputs = enumerate(tx.outputs)
            # A coinbase's second output is the OP_RETURN.
            kept = [(n, v) for n, (address, v) in outputs if tx.inputs or n == 0]
            unspent.update({(tx.txid, n): v for n, v in kept})
    return [(txid, vout, value) for (txid, vout), value in unspent.items()]


def branch_of(family, trunk, length, salt, at=steadily):
    """Return the strategy for *length* blocks of *family* on *trunk*; *at* tells their times."""
    return (evm_branch if family is EVM else utxo_branch)(trunk, length, salt, at)


@st.composite
def forked(draw, family, at=steadily):
    """Return a common trunk and the two branches that grow from it; the second one is longer."""
    # Both branches come to the end of the rest, if there is one.
    old_length = draw(st.integers(_BEFORE_REST if at is after_a_rest else 1, 4))
    new_length = old_length + draw(st.integers(1, 2))
    trunk = draw(branch_of(family, [], draw(st.integers(1, 6)), "trunk", at))
    old = draw(branch_of(family, trunk, old_length, "old", at))
    return trunk, old, draw(branch_of(family, trunk, new_length, "new", at))
