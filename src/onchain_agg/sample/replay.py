"""A loopback JSON-RPC server that answers like the EVM node it was recorded from.

Whole blocks, receipts and traces are recorded; logs, hashes-only blocks and tags are derived from
them. A method or a height that was not recorded is an error, as on a node that lacks it.
"""

import lzma
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec

from onchain_agg.errors import OnchainAggError

_PARSE_ERROR, _INVALID_REQUEST, _NO_METHOD, _INVALID_PARAMS = -32700, -32600, -32601, -32602
_NOT_RECORDED = -32000
_STOP_POLL_S = 0.05


class ReplayError(OnchainAggError):
    """A call that the recording cannot answer; ``code`` is the JSON-RPC error code."""

    def __init__(self, code: int, message: str) -> None:
        """Carry the error's *code* and *message* to the caller."""
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Recording:
    """The answers of one node, for blocks 0 to the tip without a gap.

    Attributes:
        chain_id: As ``eth_chainId`` gave it, in hex.
        client: The node's name and version.
        safe: Height of the block that it tagged so, and ``finalized`` likewise.
        alloc: Balances at block 0 and ``balances`` at the tip, in hex by lower-case address;
            an account that is in neither had no ether at that time.
        blocks: Full blocks by height, with ``receipts`` and ``traces`` beside them.
        heights: Height by lower-case block hash.
    """

    chain_id: str
    client: str
    safe: int
    finalized: int
    alloc: Mapping[str, str]
    balances: Mapping[str, str]
    blocks: Sequence[dict[str, Any]]
    receipts: Sequence[list[dict[str, Any]]]
    traces: Sequence[list[dict[str, Any]]]
    heights: Mapping[str, int]

    @property
    def tip(self) -> int:
        """Return the height of the last block."""
        return len(self.blocks) - 1


def load(path: Path) -> Recording:
    """Return the recording in *path*: xz-compressed JSON lines, a header and then each block.

    Raises:
        OSError: The file is missing or cannot be read.
    """
    with lzma.open(path) as lines:
        header = msgspec.json.decode(next(lines))
        rows = [msgspec.json.decode(line) for line in lines]
    return Recording(
        **header,
        blocks=[row["block"] for row in rows],
        receipts=[row["receipts"] for row in rows],
        traces=[row["traces"] for row in rows],
        heights={row["block"]["hash"]: height for height, row in enumerate(rows)},
    )


def answer(recording: Recording, method: str, params: Sequence[Any]) -> Any:
    """Return the result of one call.

    Raises:
        ReplayError: The method, its parameters or the block that it asks for were not recorded.
    """
    respond = _METHODS.get(method)
    if respond is None:
        raise ReplayError(_NO_METHOD, f"the method {method} does not exist/is not available")
    try:
        return respond(recording, *params)
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        raise ReplayError(_INVALID_PARAMS, f"invalid params of {method}: {error}") from error


@contextmanager
def serving(recording: Recording, port: int = 0) -> Iterator[str]:
    """Serve *recording* on a loopback *port* (0: a free one) and yield the URL.

    Raises:
        OSError: The port is taken.
    """
    handler = type("ReplayHandler", (_Handler,), {"recording": recording})
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        thread = Thread(target=server.serve_forever, args=(_STOP_POLL_S,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    """Answers a POST with one JSON-RPC call or a batch of them."""

    recording: Recording
    protocol_version = "HTTP/1.1"  # keeps the connection open
    # Without these two an answer waits 40 ms for the client to acknowledge its headers.
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", 0))
        body = msgspec.json.encode(_respond(self.recording, self.rfile.read(length)))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Keep quiet: a line for every request would bury the caller's own output."""


def _respond(recording: Recording, body: bytes) -> Any:
    try:
        request = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        return _error(None, ReplayError(_PARSE_ERROR, f"parse error: {error}"))
    if isinstance(request, list) and request:
        return [_respond_to_one(recording, one) for one in request]
    return _respond_to_one(recording, request)


def _respond_to_one(recording: Recording, request: Any) -> dict[str, Any]:
    if not isinstance(request, dict) or not isinstance(request.get("method"), str):
        return _error(None, ReplayError(_INVALID_REQUEST, "invalid request"))
    try:
        result = answer(recording, request["method"], request.get("params") or ())
    except ReplayError as error:
        return _error(request.get("id"), error)
    return {"jsonrpc": "2.0", "id": request.get("id"), "result": result}


def _error(number: Any, error: ReplayError) -> dict[str, Any]:
    described = {"code": error.code, "message": str(error)}
    return {"jsonrpc": "2.0", "id": number, "error": described}


def _height(recording: Recording, block: Any) -> int | None:
    """Return the height of a tag, a hex number, a hash or an EIP-1898 object; None: no such block.

    Raises:
        ValueError: It is none of these.
    """
    if isinstance(block, dict):
        block = block["blockHash"] if "blockHash" in block else block["blockNumber"]
    named = {"latest": recording.tip, "pending": recording.tip, "earliest": 0}
    named |= {"safe": recording.safe, "finalized": recording.finalized}
    if block in named:
        return named[block]
    if len(block) == len("0x") + 64:
        return recording.heights.get(block.lower())
    height = int(block, 16)
    return height if 0 <= height <= recording.tip else None


def _block_by_number(
    recording: Recording,
    block: Any,
    full: bool = False,  # noqa: FBT001, FBT002 - JSON-RPC's parameters have positions, no names
) -> Any:
    height = _height(recording, block)
    if height is None:
        return None
    found = recording.blocks[height]
    if full:
        return found
    return found | {"transactions": [each["hash"] for each in found["transactions"]]}


def _receipts(recording: Recording, block: Any) -> Any:
    height = _height(recording, block)
    return None if height is None else recording.receipts[height]


def _traces(recording: Recording, block: Any) -> Any:
    height = _height(recording, block)
    return [] if height is None else recording.traces[height]


def _receipt(recording: Recording, tx_hash: str) -> Any:
    receipts = (each for block in recording.receipts for each in block)
    return next((each for each in receipts if each["transactionHash"] == tx_hash.lower()), None)


def _logs(recording: Recording, wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        log
        for height in _range(recording, wanted)
        for receipt in recording.receipts[height]
        for log in receipt["logs"]
        if _matches(log, wanted)
    ]


def _range(recording: Recording, wanted: Mapping[str, Any]) -> range:
    if "blockHash" in wanted:
        height = _height(recording, wanted["blockHash"])
        if height is None:
            raise ReplayError(_NOT_RECORDED, f"unknown block {wanted['blockHash']}")
        return range(height, height + 1)
    first = _height(recording, wanted.get("fromBlock", "latest"))
    last = _height(recording, wanted.get("toBlock", "latest"))
    if first is None:
        return range(0)
    return range(first, (recording.tip if last is None else last) + 1)


def _matches(log: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    topics = wanted.get("topics") or []
    if not _is_one_of(log["address"], wanted.get("address")) or len(topics) > len(log["topics"]):
        return False
    # The filter may be shorter than the log's topics: those that follow may be anything.
    return all(_is_one_of(has, want) for has, want in zip(log["topics"], topics, strict=False))


def _is_one_of(value: str, wanted: str | Sequence[str] | None) -> bool:
    """Say whether *value* is the one wanted, or one of several; nothing wanted means any."""
    if not wanted:
        return True
    choices = [wanted] if isinstance(wanted, str) else wanted
    return value.lower() in (each.lower() for each in choices)


def _balance(recording: Recording, address: str, block: Any = "latest") -> str:
    height = _height(recording, block)
    recorded = {0: recording.alloc, recording.tip: recording.balances}
    if height is None or height not in recorded:
        message = f"balances were recorded at block 0 and {recording.tip} only, not at {block}"
        raise ReplayError(_NOT_RECORDED, message)
    return recorded[height].get(address.lower(), "0x0")


_METHODS: Mapping[str, Callable[..., Any]] = {
    "eth_chainId": lambda recording: recording.chain_id,
    "net_version": lambda recording: str(int(recording.chain_id, 16)),
    "web3_clientVersion": lambda recording: recording.client,
    "eth_syncing": lambda _: False,
    "eth_blockNumber": lambda recording: hex(recording.tip),
    "eth_getBlockByNumber": _block_by_number,
    "eth_getBlockByHash": _block_by_number,
    "eth_getBlockReceipts": _receipts,
    "eth_getTransactionReceipt": _receipt,
    "eth_getLogs": _logs,
    "eth_getBalance": _balance,
    "trace_block": _traces,
}
