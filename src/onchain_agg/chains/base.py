"""Base, an OP-stack rollup."""

from onchain_agg.chains.definition import Asset, EvmChain

CHAIN = EvmChain(
    name="base",
    chain_id=8453,
    conn_id="onchain_base",
    confirmations=900,
    batch_blocks=500,
    wrapped_native="0x4200000000000000000000000000000000000006",
    native_gap="deposits from Ethereum mint ether, and the data fee is not part of the gas price",
    tracked_assets=(
        # Native USDC; 100,000 USDC.
        Asset(
            symbol="USDC",
            address="0x833589fcd6edb6e08f4c7c32d4f71b54bda02913",
            decimals=6,
            start_block=2_700_000,
            whale_threshold=10**11,
        ),
    ),
)
