"""A node that serves blocks made by hand: what ingest asks for, without a network."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from onchain_agg.chains import Chain
from onchain_agg.errors import ForkError, NodeBehindError
from onchain_agg.sources.batch import EVM_TABLES, SCHEMAS, UTXO_TABLES, Batch, BlockRef

START = datetime(2026, 3, 1, 3, tzinfo=UTC)
STEP = timedelta(hours=7)  # three or four blocks a day, never the same hours


@dataclass(frozen=True)
class Transfer:
    """A transfer of the token of that address, or of the native coin when *token* is None.

    Of an NFT collection *standard* is 721 or 1155, and there is a *token_id*.
    """

    token: bytes | None
    sender: bytes | None
    recipient: bytes | None
    amount: int
    kind: str = "value"
    standard: int = 20
    token_id: int | None = None


@dataclass(frozen=True)
class Sale:
    """The sale with which the NFT of that transfer of the block, by its *position*, moved.

    Without *price* a bid was accepted, which tells it.
    """

    position: int
    price: int | None
    flash_loan: bool = False


@dataclass(frozen=True)
class Bid:
    """A bid for an NFT that stands until it is withdrawn; logged before the block's sales."""

    collection: bytes
    token_id: int
    bidder: bytes
    price: int
    withdrawn: bool = False


@dataclass(frozen=True)
class Spend:
    """A transaction: what it spends, by (txid, vout), and its outputs by (address, value)."""

    inputs: tuple[tuple[bytes, int], ...]
    outputs: tuple[tuple[bytes | None, int], ...]
    txid: bytes


@dataclass(frozen=True)
class FakeBlock:
    height: int
    block_hash: bytes
    parent_hash: bytes
    at: datetime
    transfers: tuple[Transfer, ...] = ()
    transactions: tuple[Spend, ...] = ()
    sales: tuple[Sale, ...] = ()
    bids: tuple[Bid, ...] = ()


def block(
    parent: FakeBlock | None,
    *,
    transfers: Sequence[Transfer] = (),
    transactions: Sequence[Spend] = (),
    sales: Sequence[Sale] = (),
    bids: Sequence[Bid] = (),
    salt: str = "",
    at: datetime | None = None,
) -> FakeBlock:
    """Return a block on top of *parent*; another salt is another block with the same content."""
    height = 0 if parent is None else parent.height + 1
    parent_hash = bytes(32) if parent is None else parent.block_hash
    content = f"{parent_hash.hex()} {height} {salt} {transfers} {transactions} {sales} {bids}"
    when = at or START + height * STEP
    digest = hashlib.sha256(content.encode()).digest()
    return FakeBlock(
        height,
        digest,
        parent_hash,
        when,
        tuple(transfers),
        tuple(transactions),
        tuple(sales),
        tuple(bids),
    )


@dataclass
class FakeNode:
    """Serves one branch; replace `blocks` to reorganise it."""

    chain: Chain
    blocks: list[FakeBlock]
    final: int = -1
    chunk: int = 3
    traced: bool = True
    reads: list[tuple[int, int]] = field(default_factory=list)

    def check_chain(self) -> None:
        pass

    def first_height(self) -> int:
        return self.blocks[0].height

    def tip(self) -> BlockRef:
        return self.block_at(self.blocks[-1].height)

    def final_height(self) -> int:
        return self.final

    def block_at(self, height: int) -> BlockRef:
        position = height - self.blocks[0].height
        if not 0 <= position < len(self.blocks):
            raise NodeBehindError(f"no block {height}")
        found = self.blocks[position]
        return BlockRef(found.height, found.block_hash, found.parent_hash, found.at)

    def read(self, first: int, last: int) -> Iterator[Batch]:
        self.reads.append((first, last))
        before: FakeBlock | None = None
        for start in range(first, last + 1, self.chunk):
            end = min(start + self.chunk - 1, last)
            self.block_at(end)
            offset = self.blocks[0].height
            some = self.blocks[start - offset : end - offset + 1]
            if before is not None and some[0].parent_hash != before.block_hash:
                raise ForkError("the node reorganised during the read")
            before = some[-1]
            yield batch_of(self.chain, some, traced=self.traced)


def batch_of(chain: Chain, blocks: Sequence[FakeBlock], *, traced: bool = True) -> Batch:
    """Return the batch of these blocks in the contract's columns."""
    utxo = any(b.transactions for b in blocks) or hasattr(chain, "bech32_hrp")
    rows: dict[str, list[dict]] = {name: [] for name in (UTXO_TABLES if utxo else EVM_TABLES)}
    for b in blocks:
        _add_block(rows, b, traced=traced)
        _add_transfers(rows, b)
        _add_sales(rows, b)
        _add_transactions(rows, b)
    tables = {
        name: pa.RecordBatch.from_pylist(found, schema=SCHEMAS[name])
        for name, found in rows.items()
    }
    return Batch(chain.name, blocks[0].height, blocks[-1].height, tables)


def _of_block(b: FakeBlock) -> dict:
    return {"day": b.at.date(), "height": b.height, "block_hash": b.block_hash}


def _add_block(rows: dict, b: FakeBlock, *, traced: bool) -> None:
    rows["block"].append(
        {
            **_of_block(b),
            "parent_hash": b.parent_hash,
            "header_at": b.at,
            "block_at": b.at,
            "tx_count": len(b.transactions) or len(b.transfers),
            "size_bytes": 1000,
            "bits": 0x1D00FFFF,
            "traced": traced,
        }
    )


def _add_transfers(rows: dict, b: FakeBlock) -> None:
    for index, t in enumerate(b.transfers):
        amount = t.amount.to_bytes(32)
        if t.token is None:
            rows["native_transfer"].append(
                {
                    **_of_block(b),
                    "seq": index,
                    "tx_index": index,
                    "kind": t.kind,
                    "sender": t.sender,
                    "recipient": t.recipient,
                    "amount": amount,
                }
            )
        else:
            rows["token_transfer"].append(
                {
                    **_of_block(b),
                    "tx_index": index,
                    "tx_hash": _tx_hash(b, index),
                    "log_index": index,
                    "item_index": 0,
                    "standard": t.standard,
                    "token_id": None if t.token_id is None else t.token_id.to_bytes(32),
                    "token": t.token,
                    "sender": t.sender,
                    "recipient": t.recipient,
                    "amount": amount,
                }
            )


def _add_sales(rows: dict, b: FakeBlock) -> None:
    count = len(b.transfers)
    for index, bid in enumerate(b.bids):
        rows["nft_bid"].append(
            {
                **_of_block(b),
                "tx_hash": _tx_hash(b, 0),
                "log_index": count + index,
                "market": "made",
                "collection": bid.collection,
                "token_id": bid.token_id.to_bytes(32),
                "bidder": bid.bidder,
                "price": bid.price.to_bytes(32),
                "withdrawn": bid.withdrawn,
            }
        )
    for index, sale in enumerate(b.sales):
        at = _log(b, sale.position, count + len(b.bids) + 2 * index)
        if sale.flash_loan:
            loan = {**at, "lender": bytes(20), "protocol": "made"}
            rows["flash_loan"].append({**loan, "log_index": at["log_index"] + 1})
        rows["nft_trade"].append({**at, **_sale(b.transfers[sale.position], sale.price)})


def _sale(moved: Transfer, price: int | None) -> dict:
    return {
        "item_index": 0,
        "market": "made",
        "version": "1",
        "contract": bytes(20),
        "side": "listing" if price is not None else "offer",
        "standard": moved.standard,
        "collection": moved.token,
        "token_id": moved.token_id.to_bytes(32),
        "quantity": moved.amount.to_bytes(32),
        "bundle_size": 1,
        "seller": moved.sender,
        "buyer": moved.recipient,
        "currency": bytes(20),
        "price": None if price is None else price.to_bytes(32),
        "unpriced": "accepted bid" if price is None else None,
    }


def _log(b: FakeBlock, tx_index: int, log_index: int) -> dict:
    return {
        **_of_block(b),
        "tx_index": tx_index,
        "tx_hash": _tx_hash(b, tx_index),
        "log_index": log_index,
    }


def _tx_hash(b: FakeBlock, tx_index: int) -> bytes:
    return hashlib.sha256(b.block_hash + tx_index.to_bytes(2)).digest()


def _add_transactions(rows: dict, b: FakeBlock) -> None:
    for tx_index, tx in enumerate(b.transactions):
        for vout, (address, value) in enumerate(tx.outputs):
            rows["utxo_output"].append(
                {
                    **_of_block(b),
                    "tx_index": tx_index,
                    "vout": vout,
                    "txid": tx.txid,
                    "value": value,
                    "address": address,
                    "spendable": address is not None or value > 0,
                }
            )
        for input_index, (txid, vout) in enumerate(tx.inputs):
            rows["utxo_input"].append(
                {
                    **_of_block(b),
                    "tx_index": tx_index,
                    "input_index": input_index,
                    "prev_txid": txid,
                    "prev_vout": vout,
                }
            )
