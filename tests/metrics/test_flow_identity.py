"""Exchange flows and reserves against the definitions, written out once more in Python."""

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, text

from onchain_agg.metrics.definitions import sync
from onchain_agg.metrics.inputs import chain_window
from onchain_agg.metrics.registry import dataset_named
from onchain_agg.warehouse.apply import apply_blocks
from onchain_agg.warehouse.tables import METADATA
from onchain_agg.warehouse.tables.chain import LABEL
from tests.fakes.branches import EVM, PEOPLE, TOKENS, UTXO, ZERO, branch_of
from tests.fakes.chain import START, STEP, FakeNode, Transfer, block
from tests.fakes.warehouse import T0, load_all

pytestmark = pytest.mark.data

BLOCKS = 9
DAYS = [START.date() + timedelta(days=n) for n in range(3)]
ENTITIES = ("alpha", "beta")
ADDRESSES = {EVM: [*PEOPLE, ZERO], UTXO: [b"\x00" + person for person in PEOPLE]}
# A price on the first day only, so that the third day has none.
PRICED, PRICE = "CUSD", 2.5


@dataclass(frozen=True)
class Move:
    """What one transfer, or one side of a UTXO transaction, moved."""

    day: date
    hour: int
    tx: tuple[int, int]
    asset: str
    sender: bytes | None
    recipient: bytes | None
    amount: int
    is_flow: bool = True


@pytest.fixture(params=[EVM, UTXO], ids=["evm", "utxo"])
def family(request):
    return request.param


@st.composite
def labelled(draw, family):
    """Return the exchange of each labelled address and day; labels come, go and come back."""
    owner = st.sampled_from([None, *ENTITIES])
    days = [DAYS[0] - timedelta(days=1), *DAYS]
    found = {}
    for address in ADDRESSES[family]:
        for day in days:
            entity = draw(owner)
            if entity is not None:
                found[address, day] = entity
    return found


@st.composite
def payments(draw):
    """Return a block's transfers, with what pays for the block and what it creates."""
    person, amount = st.sampled_from(PEOPLE), st.sampled_from([0, 1, 999, 10**6, 2**255])
    kinds = st.sampled_from(["token", "token", "value", "fee", "tip", "withdrawal"])
    made = []
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(kinds)
        if kind == "token":
            holder = st.sampled_from([*PEOPLE, ZERO])
            token = draw(st.sampled_from(TOKENS[:2]))
            made.append(Transfer(token, draw(holder), draw(holder), draw(amount)))
        else:
            sender = None if kind in {"tip", "withdrawal"} else draw(person)
            recipient = None if kind == "fee" else draw(person)
            made.append(Transfer(None, sender, recipient, draw(amount), kind))
    return made


@st.composite
def chains(draw, family):
    """Return some days of blocks."""
    if family is UTXO:
        return draw(branch_of(UTXO, [], BLOCKS, "trunk"))
    blocks = []
    for _ in range(BLOCKS):
        blocks.append(block(blocks[-1] if blocks else None, transfers=draw(payments())))
    return blocks


def test_flows_and_reserves_follow_their_definitions_on_any_day(engine, family):
    sync(engine)

    @given(data=st.data())
    def holds(data):
        blocks, owner = data.draw(chains(family)), data.draw(labelled(family))
        empty(engine)
        load_all(engine, family, FakeNode(family, blocks))
        apply_blocks(engine, family, final_height=-1)
        moves = evm_moves(blocks) if family is EVM else utxo_moves(blocks)
        with engine.begin() as connection:
            label(connection, family, owner)
            price(connection)
            check_day(connection, family, data.draw(st.sampled_from(DAYS)), moves, owner)

    holds()


def empty(engine):
    """Delete what an example wrote; the definitions stay."""
    tables = [
        table.fullname for table in METADATA.tables.values() if table.schema in {"chain", "state"}
    ]
    with engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {', '.join(tables)}, serving.market_price_1m_v1"))
        connection.execute(text("DELETE FROM ops.ingest_start"))


def check_day(connection, family, day, moves, owner):
    daily = computed(connection, "exchange_flow_daily", family, day)
    hourly = computed(connection, "exchange_flow_hourly", family, day)
    reserves = computed(connection, "exchange_reserve_daily", family, day)

    flows = flows_of(moves, owner, day, family)
    key = ("asset", "variant", "exchange")
    assert {of(row, *key): (row["inflow"], row["outflow"]) for row in daily} == flows
    sums = ("inflow", "outflow", "netflow", "inflow_usd", "outflow_usd", "netflow_usd")
    counts = ("inflow_transactions", "outflow_transactions", "unpriced")
    assert {of(row, *key): of(row, *sums, *counts) for row in daily} == added_up(
        hourly, key, (*sums, *counts)
    )
    held = {of(row, "asset", "exchange"): row["reserve"] for row in reserves if row["reserve"]}
    assert held == {key: amount for key, amount in reserves_of(moves, owner, day).items() if amount}
    yesterday = reserves_of(moves, owner, day - timedelta(days=1))
    for row in reserves:
        thing = row["asset"], row["exchange"]
        assert row["reserve_before"] == yesterday.get(thing, 0)
        assert (
            row["reserve"] - row["reserve_before"]
            == row["netflow"] - row["fees"] + row["relabelled"]
        )
        variant = "including" if row["exchange"] == "all" else "per_exchange"
        inflow, outflow = flows.get((row["asset"], variant, row["exchange"]), (0, 0))
        assert row["netflow"] == inflow - outflow


def computed(connection, name, family, day):
    window = chain_window(connection, family.name, day)
    rows = connection.execute(dataset_named(name).rows(window)).mappings()
    # Python would round sums of decimals with more than 28 digits.
    return [{name: exact(value) for name, value in row.items()} for row in rows]


def exact(value):
    return Fraction(value) if isinstance(value, Decimal) else value


def of(row, *names):
    return tuple(row[name] for name in names)


def added_up(hourly, key, names):
    """Return the sums of the hours; a sum with a NULL in it is NULL."""
    found = defaultdict(list)
    for row in hourly:
        found[of(row, *key)].append(of(row, *names))
    return {
        thing: tuple(None if None in column else sum(column) for column in zip(*rows, strict=True))
        for thing, rows in found.items()
    }


def evm_moves(blocks):
    """Return the transfers; fees and tips move money, but are no flow."""
    return [
        Move(
            found.at.date(),
            found.at.hour,
            (found.height, number),
            "native" if one.token is None else f"0x{one.token.hex()}",
            # The zero address of a token is where it is minted and burned.
            None if one.sender == ZERO else one.sender,
            None if one.recipient == ZERO else one.recipient,
            one.amount,
            one.kind not in {"fee", "tip"},
        )
        for found in blocks
        for number, one in enumerate(found.transfers)
    ]


def utxo_moves(blocks):
    """Return what is paid to an output and what is taken from an input, one by one."""
    outputs = {
        (tx.txid, vout): output
        for found in blocks
        for tx in found.transactions
        for vout, output in enumerate(tx.outputs)
    }
    moves = []
    for found in blocks:
        for number, tx in enumerate(found.transactions):
            side = Move(
                found.at.date(), found.at.hour, (found.height, number), "native", None, None, 0
            )
            for spent in tx.inputs:
                address, value = outputs[spent]
                moves.append(replace(side, sender=address, amount=value))
            for address, value in tx.outputs:
                moves.append(replace(side, recipient=address, amount=value))
    return moves


def flows_of(moves, owner, day, family):
    """Return inflow and outflow by asset, variant and exchange."""
    net = defaultdict(Counter)
    for number, move in enumerate(moves):
        if move.day == day and move.is_flow:
            # On an EVM chain each transfer stands for itself.
            group = (move.asset, move.tx if family is UTXO else number)
            for address, sign in ((move.sender, -1), (move.recipient, 1)):
                if (address, day) in owner:
                    net[group][owner[address, day]] += sign * move.amount
    found = defaultdict(lambda: [0, 0])
    for (asset, _), gains in net.items():
        together = sum(gains.values())
        parts = [("per_exchange", entity, gain) for entity, gain in gains.items()]
        parts += [("including", "all", gain) for gain in gains.values()]
        for variant, exchange, gain in [*parts, ("excluding", "all", together)]:
            if gain:
                found[asset, variant, exchange][gain < 0] += abs(gain)
    return {key: tuple(both) for key, both in found.items()}


def reserves_of(moves, owner, day):
    """Return what each exchange holds after *day*, by the labels of *day*."""
    found = Counter()
    for move in moves:
        if move.day <= day:
            for address, sign in ((move.sender, -1), (move.recipient, 1)):
                if (address, day) in owner:
                    found[move.asset, owner[address, day]] += sign * move.amount
                    found[move.asset, "all"] += sign * move.amount
    return found


def label(connection, family, owner):
    rows = [
        {
            "chain": family.name,
            "address": address,
            "category": "exchange",
            "entity": entity,
            "valid_from": day,
            "valid_to": day + timedelta(days=1),
            "known_from": T0,
            "source": "test",
        }
        for (address, day), entity in owner.items()
    ]
    if rows:
        connection.execute(insert(LABEL), rows)


def price(connection):
    connection.execute(
        text(
            "INSERT INTO serving.market_price_1m_v1 (day, asset, minute_at, price_usd, basis,"
            " volume, venues, venues_cut, estimated, known_from)"
            " VALUES (:day, :asset, :at, :price, 'usd', 1, 1, 0, false, :at)"
        ),
        {"day": DAYS[0], "asset": PRICED, "at": START + STEP, "price": PRICE},
    )
