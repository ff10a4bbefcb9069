"""What a chain is: data only. One file beside this one defines each chain as ``CHAIN``."""

from dataclasses import dataclass, field

# Standards of assets: what adds up, tokens that exist once, and tokens of many pieces.
ERC20, ERC721, ERC1155 = 20, 721, 1155


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A coin or token whose balances and whale transfers are kept.

    Attributes:
        symbol: Short name for people; the address is the identity.
        address: ``0x…`` of the token contract, or None for the chain's native coin.
        decimals: Digits of the smallest unit.
        start_block: First block that can move the asset. Balances are published only when every
            block from here on was applied.
        whale_threshold: Smallest transfer that ``whale_transfer`` keeps, in the smallest unit.
        noncompliant: Whether balances may move without a Transfer event (a rebase, a fee on
            transfer): one below zero is then told in its column instead of stopping the publish.
        standard: 20 for what adds up (the native coin too); 721 or 1155 for an NFT collection, of
            which owners are kept instead of balances.
        wraps: ``0x…`` of the collection whose tokens lie in this one's contract, id for id, so
            that both count as one; None where it wraps none.
        bluechip: Whether the collection is among those whose owners are compared.
    """

    symbol: str
    address: str | None
    decimals: int
    start_block: int
    whale_threshold: int
    noncompliant: bool = False
    standard: int = ERC20
    wraps: str | None = None
    bluechip: bool = False


@dataclass(frozen=True, kw_only=True)
class Chain:
    """What both families share.

    Attributes:
        confirmations: A block is final when this many blocks lie on top of it (a node's own
            ``finalized`` answer is preferred where there is one).
        batch_blocks: Blocks that one mapped task reads.
    """

    name: str
    conn_id: str
    confirmations: int
    batch_blocks: int
    tracked_assets: tuple[Asset, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EvmChain(Chain):
    """An account chain that speaks Ethereum's JSON-RPC.

    Attributes:
        native_gap: Why native balances cannot be computed from blocks, traces and withdrawals
            alone; empty where they can.
        native_gap_from: First block for which that holds; native balances are published before it.
        wrapped_native: ``0x…`` of the token that stands for the native coin, one for one; None
            where there is none.
    """

    chain_id: int
    native_gap: str = ""
    native_gap_from: int = 0
    wrapped_native: str | None = None


@dataclass(frozen=True, kw_only=True)
class UtxoChain(Chain):
    """A Bitcoin-family chain.

    Attributes:
        magic: Four bytes before each block in the node's block files.
        genesis_hash: Hash of block 0 as explorers print it.
        subsidy: What the first blocks may mint, smallest unit.
        halving_blocks: Blocks after which the subsidy is halved, again and again.
        undo_blocks: Blocks that can be undone; a deeper fork rebuilds the state.
    """

    magic: bytes
    genesis_hash: str
    subsidy: int
    halving_blocks: int
    pubkey_prefix: int
    script_prefix: int
    bech32_hrp: str
    undo_blocks: int = field(default=144)
