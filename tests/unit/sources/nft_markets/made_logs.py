"""Logs of one block for the tests of NFT markets, and the tables they become, readable."""

from msgspec.structs import replace

from onchain_agg.sources.evm_columns import block_columns
from onchain_agg.sources.evm_json import Header, Log
from onchain_agg.sources.nft_logs import nft_tables
from tests.fakes import nft_events

ALICE, BOB, CAROL, DAVE = ("0x" + digit * 40 for digit in "abcd")
APES = "0x" + 40 * "9"
NATIVE, WETH = nft_events.NATIVE, nft_events.WETH
BLOCK = "0x" + 64 * "7"
MOST = 2**256 - 1
_PLACE = ("day", "height", "block_hash", "tx_index", "tx_hash")


def word(value):
    """Return a number, an address or 32 bytes as the 64 hex characters of a word."""
    return f"{value:064x}" if isinstance(value, int) else value.removeprefix("0x").rjust(64, "0")


def log(address, topics, data=(), *, tx=1, index=0):
    """Return a log; *topics* are its signature and words, *data* words or whole hex text."""
    signature, *others = topics
    return Log(
        address=address,
        topics=(signature, *("0x" + word(topic) for topic in others)),
        data=data if isinstance(data, str) else "0x" + "".join(map(word, data)),
        block_hash=BLOCK,
        transaction_hash="0x" + word(tx),
        transaction_index=hex(tx),
        log_index=hex(index),
    )


def logged(event, *, tx=1):
    """Return the log of an event."""
    topics = ["0x" + topic.hex() for topic in event.topics]
    return log(event.address, topics, "0x" + event.data.hex(), tx=tx)


def erc20(token, sender, recipient, amount, *, tx=1):
    return logged(nft_events.erc20(token, sender, recipient, amount), tx=tx)


def erc721(token, sender, recipient, token_id, *, tx=1):
    return logged(nft_events.erc721(token, sender, recipient, token_id), tx=tx)


def erc1155(token, sender, recipient, token_id, amount, *, tx=1):
    return logged(nft_events.erc1155(token, sender, recipient, token_id, amount), tx=tx)


def tables(*logs):
    """Return the tables that are made of the logs, each in its place in the block, as rows."""
    # A log may stand twice, and a parametrised one be used again.
    placed = [replace(one, log_index=hex(index)) for index, one in enumerate(logs)]
    made = nft_tables(placed, blocks())
    return {name: [_readable(row) for row in batch.to_pylist()] for name, batch in made.items()}


def blocks():
    """Return the one block that every log is of."""
    header = Header(
        number="0x7",
        hash=BLOCK,
        parent_hash="0x" + 64 * "6",
        timestamp=hex(1_600_000_007),
        size="0x1",
        gas_used="0x0",
        miner=ALICE,
        transactions=[],
    )
    return block_columns([header], 7)


def _readable(row):
    return {name: _value(value) for name, value in row.items() if name not in _PLACE}


def _value(value):
    """Return an address as text and another word as a number."""
    if isinstance(value, bytes):
        return "0x" + value.hex() if len(value) == 20 else int.from_bytes(value, "big")
    return value


def trades(*logs):
    return tables(*logs)["nft_trade"]


def reasons(*logs):
    """Return why the logs are kept apart, each by its place."""
    kept = tables(*logs)
    return [(row["log_index"], row["reason"]) for row in kept["malformed_log"]]
