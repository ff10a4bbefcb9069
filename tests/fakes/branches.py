"""Hypothesis strategies for branches of both families, with everything that state must follow."""

from collections import Counter
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st

from onchain_agg.chains import chain_named
from tests.fakes.chain import Spend, Transfer, block

EVM = replace(chain_named("anvil"), batch_blocks=2)
UTXO = replace(chain_named("regtest"), batch_blocks=2)
TOKENS = [bytes.fromhex(a.address[2:]) for a in EVM.tracked_assets if a.address]
UNTRACKED = b"\x77" * 20
PEOPLE = [bytes([n]) * 20 for n in (1, 2, 3)]
ZERO = bytes(20)
# Where an example publishes every data set several times.
FEW = settings(max_examples=max(settings().max_examples // 3, 1))
AMOUNTS = st.sampled_from([0, 1, 999, 10**21, 10**39, 2**255])


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
def evm_branch(draw, trunk, length, salt):
    """Return *length* blocks on *trunk*."""
    blocks, held = [], Counter()
    for moved in (t for b in trunk for t in b.transfers):
        book(held, moved)
    parent = trunk[-1] if trunk else None
    for _ in range(length):
        parent = block(parent, transfers=draw(transfers(held)), salt=salt)
        blocks.append(parent)
    return blocks


@st.composite
def utxo_branch(draw, trunk, length, salt):
    """Return *length* blocks on *trunk* that spend what is unspent there."""
    blocks, unspent = [], unspent_after(trunk)
    parent = trunk[-1] if trunk else None
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


def branch_of(family, trunk, length, salt):
    """Return the strategy for *length* blocks of *family* on *trunk*."""
    return (evm_branch if family is EVM else utxo_branch)(trunk, length, salt)


@st.composite
def forked(draw, family):
    """Return a common trunk and the two branches that grow from it; the second one is longer."""
    old_length = draw(st.integers(1, 4))
    new_length = old_length + draw(st.integers(1, 2))
    trunk = draw(branch_of(family, [], draw(st.integers(1, 6)), "trunk"))
    old = draw(branch_of(family, trunk, old_length, "old"))
    return trunk, old, draw(branch_of(family, trunk, new_length, "new"))
