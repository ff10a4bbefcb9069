"""The sample that ships with the package: two small chains, recorded from real nodes, and a market.

`block_dir` holds the block file of a Bitcoin-family chain; `running_replay` serves the answers of
an EVM node; `expected` is what both nodes said about the outcome. Both chains cover eight days
from 2026-03-01. ``scripts/record_sample.py`` in the repository made all of it. `market_file` tells
made-up trades of their assets on these days, and facts about the assets, from
``scripts/sample_market.py``.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

__all__ = [
    "block_dir",
    "expected",
    "genesis_alloc",
    "market_file",
    "recording_file",
    "running_replay",
]

_HERE = Path(__file__).parent


def block_dir() -> Path:
    """Return the folder with ``blk00000.dat`` of chain ``regtest``, as its node wrote it."""
    return _HERE / "regtest"


def recording_file() -> Path:
    """Return the compressed answers of chain ``anvil``'s node; `replay.load` reads them."""
    return _HERE / "anvil" / "recording.jsonl.xz"


def market_file(fact: Literal["trades", "assets"]) -> Path:
    """Return the CSV file of the venue ``sample``'s trades, or of facts about the assets."""
    return _HERE / "market" / f"{fact}.csv"


def genesis_alloc() -> dict[bytes, int]:
    """Return the balances in wei that chain ``anvil`` began with, by 20-byte address."""
    alloc = expected()["anvil"]["genesis_alloc"]
    return {bytes.fromhex(address[2:]): int(wei) for address, wei in alloc.items()}


def expected() -> dict[str, Any]:
    """Return what the nodes said at the tip of ``anvil`` and ``regtest``.

    Amounts of ``anvil`` are decimal strings in the smallest unit; those of ``regtest`` are
    integers in the smallest unit.
    """
    facts: dict[str, Any] = json.loads((_HERE / "expected.json").read_text())
    return facts


@contextmanager
def running_replay(port: int = 0) -> Iterator[str]:
    """Serve the recorded EVM node on loopback and yield its URL.

    Args:
        port: The TCP port; 0 takes a free one.

    Raises:
        OSError: The port is taken.
    """
    # The server is needed by few who import this package, its decoder by none of the others.
    from onchain_agg.sample.replay import load, serving  # noqa: PLC0415

    with serving(load(recording_file()), port) as url:
        yield url
