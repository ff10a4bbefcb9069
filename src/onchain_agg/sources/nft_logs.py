"""NFT trades, bids and flash loans out of logs; what a market's decoder refuses is kept apart."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pyarrow as pa

from onchain_agg.sources.batch import SCHEMAS
from onchain_agg.sources.evm_columns import (
    BlockColumns,
    Int64s,
    amounts,
    binary_column,
    bool_column,
    int_column,
    record_batch,
)
from onchain_agg.sources.evm_json import Log
from onchain_agg.sources.evm_logs import log_columns, malformed_table
from onchain_agg.sources.flash_loans import PROTOCOLS
from onchain_agg.sources.malformed import Malformed
from onchain_agg.sources.nft_markets import all_nft_markets
from onchain_agg.sources.nft_markets.definition import Bid, Decoded, Move, Trades

_TEXT = pa.string()


def nft_topics() -> tuple[str, ...]:
    """Return the first topics of every event that an NFT table is made from."""
    markets = all_nft_markets().values()
    found = {topic for market in markets for topic in (*market.topics, *market.context)}
    return tuple(sorted(found | {*PROTOCOLS}))


def nft_tables(logs: Sequence[Log], blocks: BlockColumns) -> dict[str, pa.RecordBatch]:
    """Return ``nft_trade``, ``nft_bid``, ``flash_loan``, and further rows of two other tables.

    Those are of ``token_transfer`` (owners that no standard transfer tells) and ``malformed_log``.

    Raises:
        ForkError: A log belongs to a block that is not among *blocks*.
        SourceError: A log's fields are not hex or not of their width.
    """
    owners = {topic: name for name, market in all_nft_markets().items() for topic in market.topics}
    own: dict[str, list[int]] = {}
    malformed: list[Malformed] = []
    loans: list[int] = []
    for i, log in enumerate(logs):
        topic = log.topics[0] if log.topics else ""
        if topic in PROTOCOLS:
            loans.append(i)
        name = owners.get(topic)
        if name is None:
            continue
        if log.address.lower() in all_nft_markets()[name].contracts:
            own.setdefault(name, []).append(i)
        else:
            malformed.append(Malformed(i, f"{name}: event of an unknown contract"))
    found = {name: all_nft_markets()[name].decode(logs, chosen) for name, chosen in own.items()}
    for decoded in found.values():
        malformed += decoded.malformed
    return {
        "nft_trade": _trades(logs, blocks, found),
        "nft_bid": _bids(logs, blocks, found),
        "flash_loan": _loans(logs, blocks, loans),
        "token_transfer": _moves(logs, blocks, [m for d in found.values() for m in d.moves]),
        "malformed_log": malformed_table(logs, blocks, malformed),
    }


def _trades(logs: Sequence[Log], blocks: BlockColumns, found: dict[str, Decoded]) -> pa.RecordBatch:
    pieces = [(name, piece) for name, decoded in found.items() for piece in decoded.trades]
    if not pieces:
        return pa.RecordBatch.from_pylist([], schema=SCHEMAS["nft_trade"])
    names = [name for name, piece in pieces for _ in piece.log]
    rows = _joined([piece for _, piece in pieces])
    order = np.lexsort((rows["item"], rows["log"]))
    log = rows["log"][order]
    markets = all_nft_markets()
    version = [markets[names[k]].contracts[logs[rows["log"][k]].address.lower()] for k in order]
    is_priced = np.array([reason is None for reason in rows["unpriced"]], np.bool_)
    columns = log_columns(logs, log, blocks, "contract") | {
        "item_index": int_column(rows["item"][order], pa.int32()),
        "market": pa.array([names[k] for k in order], _TEXT),
        "version": pa.array(version, _TEXT),
        "side": pa.array([rows["side"][k] for k in order], _TEXT),
        "standard": int_column(rows["standard"][order], pa.int16(), rows["standard"][order] != 0),
        "bundle_size": int_column(rows["bundle_size"][order], pa.int32()),
        "currency": binary_column(rows["currency"][order], rows["knows_currency"][order]),
        "price": binary_column(rows["price"][order], is_priced[order]),
        "platform_fee": binary_column(rows["platform_fee"][order], rows["knows_fee"][order]),
        "royalty": binary_column(rows["royalty"][order], rows["knows_royalty"][order]),
        "unpriced": pa.array([rows["unpriced"][k] for k in order], _TEXT),
    }
    for name in ("collection", "token_id", "quantity", "seller", "buyer"):
        columns[name] = binary_column(rows[name][order])
    return record_batch("nft_trade", columns)


def _joined(pieces: Sequence[Trades]) -> dict[str, Any]:
    """Return the columns of all pieces: arrays, and lists where a column is no array."""
    joined: dict[str, Any] = {}
    for one in fields(Trades):
        values = [getattr(piece, one.name) for piece in pieces]
        if isinstance(values[0], np.ndarray):
            joined[one.name] = np.concatenate(values)
        else:
            joined[one.name] = [entry for value in values for entry in value]
    return joined


def _positions(rows: Iterable[Bid | Move]) -> Int64s:
    return np.array([row.log for row in rows], np.int64)


def _bids(logs: Sequence[Log], blocks: BlockColumns, found: dict[str, Decoded]) -> pa.RecordBatch:
    rows = [(name, bid) for name, decoded in found.items() for bid in decoded.bids]
    bids = [bid for _, bid in rows]
    columns = log_columns(logs, _positions(bids), blocks, "contract") | {
        "market": pa.array([name for name, _ in rows], _TEXT),
        "collection": _binary([bid.collection for bid in bids]),
        "token_id": binary_column(amounts([bid.token_id for bid in bids])),
        "bidder": _binary([bid.bidder for bid in bids]),
        "price": binary_column(amounts([bid.price for bid in bids])),
        "withdrawn": bool_column(np.array([bid.withdrawn for bid in bids], np.bool_)),
    }
    return record_batch("nft_bid", columns)


def _moves(logs: Sequence[Log], blocks: BlockColumns, moves: Sequence[Move]) -> pa.RecordBatch:
    count = len(moves)
    columns = log_columns(logs, _positions(moves), blocks, "contract") | {
        "item_index": int_column(np.zeros(count, np.int64), pa.int32()),
        "standard": int_column(np.full(count, 721), pa.int16()),
        "token": _binary([move.collection for move in moves]),
        "sender": _binary([move.sender for move in moves]),
        "recipient": _binary([move.recipient for move in moves]),
        "token_id": binary_column(amounts([move.token_id for move in moves])),
        "amount": binary_column(amounts([1] * count)),
    }
    return record_batch("token_transfer", columns)


def _loans(logs: Sequence[Log], blocks: BlockColumns, chosen: Sequence[int]) -> pa.RecordBatch:
    protocols = [PROTOCOLS[logs[i].topics[0]] for i in chosen]
    columns = log_columns(logs, np.array(chosen, np.int64), blocks, "lender") | {
        "protocol": pa.array(protocols, _TEXT)
    }
    return record_batch("flash_loan", columns)


def _binary(values: Sequence[bytes]) -> pa.Array:
    return pa.array(values, pa.binary(20))
