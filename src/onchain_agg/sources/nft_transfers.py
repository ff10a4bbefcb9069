"""What moved in the transactions of trades: a collection's standard, and who a token went to.

Some markets log neither; the transfer of the token, in the same transaction, tells both.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from onchain_agg.sources.event_words import Flags
from onchain_agg.sources.evm_columns import Bytes2D, Int64s
from onchain_agg.sources.evm_json import Log
from onchain_agg.sources.evm_logs import TRANSFER, TRANSFER_BATCH, TRANSFER_SINGLE

_STANDARDS = {TRANSFER: 721, TRANSFER_SINGLE: 1155, TRANSFER_BATCH: 1155}
_CLEAN = 24 * "0"  # what stands before an address in its topic
_ADDRESS, _WORD = 40, 64  # characters


# 721 or 1155 by transaction and contract, as text without ``0x`` before the contract.
Standards = Mapping[str, int]
# Position in the list of logs, sender and recipient of every transfer of a token, by transaction,
# contract and token id, in the order of the logs; without those of batches.
Steps = Mapping[str, Sequence[tuple[int, str, str]]]


def standards_beside(logs: Sequence[Log], chosen: Sequence[int]) -> Standards:
    """Return the standards of what moved in the transactions of the *chosen* logs."""
    transactions = {logs[i].transaction_hash for i in chosen}
    return {
        _key(log, log.address[2:].lower()): _STANDARDS[log.topics[0]]
        for log in logs
        # An ERC-20 transfer has the topic of an ERC-721 one, but names its amount in the data.
        if len(log.topics) == 4
        and log.topics[0] in _STANDARDS
        and log.transaction_hash in transactions
    }


def steps_beside(logs: Sequence[Log], chosen: Sequence[int]) -> Steps:
    """Return the transfers in the transactions of the *chosen* logs; *logs* is the whole range."""
    transactions = {logs[i].transaction_hash for i in chosen}
    steps: dict[str, list[tuple[int, str, str]]] = {}
    for i, log in enumerate(logs):
        topics = log.topics
        if len(topics) != 4 or log.transaction_hash not in transactions:
            continue
        if topics[0] == TRANSFER:
            sender, recipient, token = topics[1][2:], topics[2][2:], topics[3]
        elif topics[0] == TRANSFER_SINGLE:
            sender, recipient, token = topics[2][2:], topics[3][2:], log.data
        else:
            continue
        if sender[:24] == recipient[:24] == _CLEAN:
            name = _key(log, (log.address[2:] + token[2 : 2 + _WORD]).lower())
            step = (i, sender[24:].lower(), recipient[24:].lower())
            steps.setdefault(name, []).append(step)
    return steps


def standards_of(
    standards: Standards, logs: Sequence[Log], at: Int64s, collections: Bytes2D
) -> Int64s:
    """Return 721 or 1155 for the collection of each trade, 0 where no transfer tells.

    Args:
        standards: Those of the trades' transactions.
        logs: The logs of the range.
        at: Position of each trade's log.
        collections: Contract of each trade's token, 20 bytes a row.
    """
    names = _texts(collections, _ADDRESS)
    found = [standards.get(_key(logs[i], name), 0) for i, name in zip(at, names, strict=True)]
    return np.array(found, np.int64)


def other_parties(
    steps: Steps,
    logs: Sequence[Log],
    at: Int64s,
    token: tuple[Bytes2D, Bytes2D],
    maker: tuple[Bytes2D, Flags],
) -> tuple[Bytes2D, Flags]:
    """Return who gave to, or got from, the maker of each trade, and where no transfer tells.

    It is the last transfer of the token before the trade's log that the maker had a part in.

    Args:
        steps: What moved in the trades' transactions.
        logs: The logs of the range.
        at: Position of each trade's log.
        token: Collections, 20 bytes a row, and token ids, 32 bytes.
        maker: The makers, 20 bytes a row, and which of them gave the token away.

    Returns:
        Addresses, 20 bytes a row, and which rows have one.
    """
    collections, ids = token
    makers, gives = maker
    texts = zip(
        _texts(collections, _ADDRESS), _texts(ids, _WORD), _texts(makers, _ADDRESS), strict=True
    )
    found: list[str] = []
    for i, gave, (contract, token_id, trader) in zip(at, gives.tolist(), texts, strict=True):
        moves = steps.get(_key(logs[i], contract) + token_id, ())
        found.append(_other_party(moves, i, trader, gave=gave))
    known = np.array([bool(other) for other in found], np.bool_)
    raw = bytes.fromhex("".join([other or _ADDRESS * "0" for other in found]))
    return np.frombuffer(raw, np.uint8).reshape(-1, 20), known


def _other_party(steps: Sequence[tuple[int, str, str]], log: int, maker: str, *, gave: bool) -> str:
    for at, sender, recipient in reversed(steps):
        if at < log and maker == (sender if gave else recipient):
            return recipient if gave else sender
    return ""


def _key(log: Log, contract: str) -> str:
    return log.transaction_hash + contract


def _texts(rows: Bytes2D, width: int) -> list[str]:
    text = np.ascontiguousarray(rows).tobytes().hex()
    return [text[start : start + width] for start in range(0, len(text), width)]
