"""ERC-20, ERC-721 and ERC-1155 transfers out of logs; what breaks its standard is kept apart.

A log that carries a transfer's signature but not its shape goes to ``malformed_log`` with a reason.
Other events are dropped.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from onchain_agg.sources.batch import SCHEMAS
from onchain_agg.sources.evm_columns import (
    BlockColumns,
    Bytes2D,
    Int64s,
    binary_column,
    from_hex,
    int_column,
    numbers,
    record_batch,
)
from onchain_agg.sources.evm_json import Log
from onchain_agg.sources.malformed import Malformed

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
TRANSFER_SINGLE = "0xc3d58168c5ae7397731d063d5bbf3d657854427343f4c083240f7aacaa2d0f62"
TRANSFER_BATCH = "0x4a39dc06d4c0dbc64b70af90fd698a233a518aa5d07e595d983b8c0526c8f7fb"
TRANSFER_TOPICS = (TRANSFER, TRANSFER_SINGLE, TRANSFER_BATCH)

_EMPTY_DATA, _ONE_WORD, _TWO_WORDS = 2, 2 + 64, 2 + 128  # characters, with the 0x
_BATCH_SHAPE = (TRANSFER_BATCH, 4)
# Signature, number of topics and length of data: what tells the standards apart.
_SHAPES = {
    (TRANSFER, 3, _ONE_WORD): 20,
    (TRANSFER, 4, _EMPTY_DATA): 721,
    (TRANSFER_SINGLE, 4, _TWO_WORDS): 1155,
}


@dataclass(frozen=True)
class TransferRows:
    """Transfers; *log* is each row's position in the list of logs, *standard* 0 where they mix."""

    standard: int
    log: Int64s
    item: Int64s
    sender: Bytes2D
    recipient: Bytes2D
    token_id: Bytes2D
    amount: Bytes2D


def token_tables(logs: Sequence[Log], blocks: BlockColumns) -> dict[str, pa.RecordBatch]:
    """Return ``token_transfer`` and ``malformed_log`` of *logs*, in the order of the logs.

    Raises:
        ForkError: A log belongs to a block that is not among *blocks*.
        SourceError: A log's fields are not hex or not of their width.
    """
    kept = [log for log in logs if log.topics and log.topics[0] in TRANSFER_TOPICS]
    groups, malformed = _classified(kept)
    return {
        "token_transfer": _transfers(kept, blocks, _merged(groups)),
        "malformed_log": malformed_table(kept, blocks, malformed),
    }


def transfer_rows(logs: Sequence[Log]) -> tuple[TransferRows, npt.NDArray[np.int16]]:
    """Return the transfers of *logs*, all with one of `TRANSFER_TOPICS`, and each one's standard.

    They stand in the order of the logs; a log that is no transfer in shape has no row.

    Raises:
        SourceError: A log's fields are not hex or not of their width.
    """
    return _merged(_classified(logs)[0])


def _classified(logs: Sequence[Log]) -> tuple[list[TransferRows], list[Malformed]]:
    of_shape: dict[int, list[int]] = {20: [], 721: [], 1155: []}
    batches: list[int] = []
    malformed: list[Malformed] = []
    for i, log in enumerate(logs):
        topics = log.topics
        standard = _SHAPES.get((topics[0], len(topics), len(log.data)))
        if standard is not None:
            of_shape[standard].append(i)
        elif (topics[0], len(topics)) == _BATCH_SHAPE:
            batches.append(i)
        else:
            malformed.append(Malformed(i, _wrong_shape(log)))
    groups = [_one_a_log(logs, chosen, s, malformed) for s, chosen in of_shape.items() if chosen]
    if batches:
        groups.append(_batch_items(logs, batches, malformed))
    return groups, malformed


def _wrong_shape(log: Log) -> str:
    size = len(log.data) // 2 - 1
    if log.topics[0] == TRANSFER:
        if len(log.topics) == 3:
            return f"{size} bytes of data, not 32"
        if len(log.topics) == 4:
            return f"{size} bytes of data beside a token id, not 0"
        return f"{len(log.topics)} topics, not 3 or 4"
    if len(log.topics) != 4:
        return f"{len(log.topics)} topics, not 4"
    return f"{size} bytes of data, not 64"


def _one_a_log(
    logs: Sequence[Log], chosen: list[int], standard: int, malformed: list[Malformed]
) -> TransferRows:
    parties = 1 if standard in (20, 721) else 2  # an ERC-1155 log names its operator first
    positions, sender, recipient = _parties(logs, chosen, parties, malformed)
    if standard == 721:
        token_id = from_hex([logs[i].topics[3] for i in positions], 32)
        amount = np.zeros_like(token_id)
        amount[:, 31] = 1
    elif standard == 20:
        amount = from_hex([logs[i].data for i in positions], 32)
        token_id = np.zeros_like(amount)
    else:
        data = from_hex([logs[i].data for i in positions], 64)
        token_id, amount = data[:, :32], data[:, 32:]
    item = np.zeros(len(positions), np.int64)
    return TransferRows(standard, positions, item, sender, recipient, token_id, amount)


def _parties(
    logs: Sequence[Log], chosen: list[int], at: int, malformed: list[Malformed]
) -> tuple[Int64s, Bytes2D, Bytes2D]:
    """Return the logs whose topics *at* and *at* + 1 are addresses, and the two addresses."""
    sender = from_hex([logs[i].topics[at] for i in chosen], 32)
    recipient = from_hex([logs[i].topics[at + 1] for i in chosen], 32)
    bad_sender, bad_recipient = _dirty(sender), _dirty(recipient)
    clean = ~(bad_sender | bad_recipient)
    for k in np.flatnonzero(~clean):
        who = "sender" if bad_sender[k] else "recipient"
        malformed.append(Malformed(chosen[k], f"the {who} topic is not an address"))
    return np.array(chosen, np.int64)[clean], sender[clean, 12:], recipient[clean, 12:]


def _dirty(topics: Bytes2D) -> npt.NDArray[np.bool_]:
    """Return which topics have bytes before their last 20, so are no addresses."""
    dirty: npt.NDArray[np.bool_] = np.count_nonzero(topics[:, :12], axis=1) > 0
    return dirty


def _batch_items(
    logs: Sequence[Log], chosen: list[int], malformed: list[Malformed]
) -> TransferRows:
    decoded: dict[int, tuple[bytes, bytes]] = {}
    for i in chosen:
        arrays = batch_arrays(_data_of(logs[i]))
        if isinstance(arrays, str):
            malformed.append(Malformed(i, arrays))
        else:
            decoded[i] = arrays
    positions, sender, recipient = _parties(logs, list(decoded), 2, malformed)
    arrays_of = [decoded[int(i)] for i in positions]
    counts = np.array([len(ids) // 32 for ids, _ in arrays_of], np.int64)
    items = [np.arange(count, dtype=np.int64) for count in counts]
    return TransferRows(
        standard=1155,
        log=np.repeat(positions, counts),
        item=np.concatenate([np.zeros(0, np.int64), *items]),
        sender=np.repeat(sender, counts, axis=0),
        recipient=np.repeat(recipient, counts, axis=0),
        token_id=_words_of(ids for ids, _ in arrays_of),
        amount=_words_of(values for _, values in arrays_of),
    )


def _data_of(log: Log) -> bytes:
    return from_hex([log.data], len(log.data) // 2 - 1).tobytes()


def _words_of(chunks: Iterable[bytes]) -> Bytes2D:
    return np.frombuffer(b"".join(chunks), np.uint8).reshape(-1, 32)


def batch_arrays(data: bytes) -> tuple[bytes, bytes] | str:
    """Return the ids and the amounts of a TransferBatch, 32 bytes each, or why there are none."""
    if len(data) < 64:
        return f"{len(data)} bytes of data, too short for two arrays"
    ids, amounts = _array_at(data, 0), _array_at(data, 32)
    if ids is None or amounts is None:
        return "an array lies outside the data"
    if len(ids) != len(amounts):
        return f"{len(ids) // 32} ids but {len(amounts) // 32} amounts"
    return ids, amounts


def _array_at(data: bytes, head: int) -> bytes | None:
    start = int.from_bytes(data[head : head + 32], "big") + 32
    if start > len(data):
        return None
    end = start + 32 * int.from_bytes(data[start - 32 : start], "big")
    return data[start:end] if end <= len(data) else None


def _merged(groups: Sequence[TransferRows]) -> tuple[TransferRows, npt.NDArray[np.int16]]:
    """Return all rows in the order of their logs, and each row's standard."""
    if not groups:
        nothing, none = np.zeros((0, 32), np.uint8), np.zeros(0, np.int64)
        empty = nothing[:, :20]
        return TransferRows(0, none, none, empty, empty, nothing, nothing), np.zeros(0, np.int16)
    standards = np.concatenate([np.full(len(g.log), g.standard, np.int16) for g in groups])
    if len(groups) == 1:
        return groups[0], standards
    joined = [
        np.concatenate([getattr(g, name) for g in groups])
        for name in ("log", "item", "sender", "recipient", "token_id", "amount")
    ]
    order = np.lexsort((joined[1], joined[0]))
    return TransferRows(0, *(column[order] for column in joined)), standards[order]


def _transfers(
    logs: Sequence[Log], blocks: BlockColumns, merged: tuple[TransferRows, npt.NDArray[np.int16]]
) -> pa.RecordBatch:
    rows, standards = merged
    columns = log_columns(logs, rows.log, blocks, "token")
    columns |= {
        "item_index": int_column(rows.item, pa.int32()),
        "standard": int_column(standards, pa.int16()),
        "sender": binary_column(rows.sender),
        "recipient": binary_column(rows.recipient),
        "token_id": binary_column(rows.token_id, standards != 20),
        "amount": binary_column(rows.amount),
    }
    return record_batch("token_transfer", columns)


def log_columns(
    logs: Sequence[Log], at: Int64s, blocks: BlockColumns, contract: str
) -> dict[str, pa.Array]:
    """Return what the logs at those positions say of where they are.

    Args:
        logs: The logs of a range.
        at: Positions of the rows' logs in *logs*; one may stand several times.
        blocks: The blocks of the range.
        contract: Name of the column of the contract that logged.

    Returns:
        Columns by name; more than a table may have.

    Raises:
        ForkError: A log belongs to a block that is not among *blocks*.
        SourceError: A log's fields are not hex or not of their width.
    """
    # A batch transfer repeats its log, so each log is converted once and then spread over its rows.
    unique, spread = np.unique(at, return_inverse=True)
    chosen = [logs[i] for i in unique]
    tx_index = numbers([log.transaction_index for log in chosen])
    log_index = numbers([log.log_index for log in chosen])
    return {
        **blocks.of(blocks.positions([log.block_hash for log in chosen])[spread]),
        "tx_index": int_column(tx_index[spread], pa.int32()),
        "tx_hash": binary_column(from_hex([log.transaction_hash for log in chosen], 32)[spread]),
        "log_index": int_column(log_index[spread], pa.int32()),
        contract: binary_column(from_hex([log.address for log in chosen], 20)[spread]),
    }


def malformed_table(
    logs: Sequence[Log], blocks: BlockColumns, malformed: Sequence[Malformed]
) -> pa.RecordBatch:
    """Return ``malformed_log``: the logs that *malformed* names, in their order.

    Raises:
        ForkError: A log belongs to a block that is not among *blocks*.
        SourceError: A log's fields are not hex or not of their width.
    """
    ordered = sorted(malformed, key=lambda entry: entry.log)
    at = np.array([entry.log for entry in ordered], np.int64)
    chosen = [logs[entry.log] for entry in ordered]
    topics = [from_hex(log.topics, 32).tobytes() for log in chosen]
    kinds = SCHEMAS["malformed_log"]
    columns = log_columns(logs, at, blocks, "token") | {
        "reason": pa.array([entry.reason for entry in ordered], kinds.field("reason").type),
        "topics": pa.array(topics, kinds.field("topics").type),
        "data": pa.array([_data_of(log) for log in chosen], kinds.field("data").type),
    }
    return record_batch("malformed_log", columns)
