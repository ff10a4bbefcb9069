"""Polygon PoS. Milestones make a block final in seconds, but public nodes lag by minutes."""

from onchain_agg.chains.definition import Asset, EvmChain

CHAIN = EvmChain(
    name="polygon",
    chain_id=137,
    conn_id="onchain_polygon",
    confirmations=128,
    batch_blocks=500,
    wrapped_native="0x0d500b1d8e8ef31e21c99d1db9a6444d3adf1270",
    native_gap="state-sync deposits from Ethereum mint the coin without a transaction value",
    tracked_assets=(
        # Native USDC; 100,000 USDC.
        Asset(
            symbol="USDC",
            address="0x3c499c542cef5e3811e1192ce70d8cc03d5c3359",
            decimals=6,
            start_block=45_000_000,
            whale_threshold=10**11,
        ),
    ),
)
