"""A local development chain on Foundry's anvil, as the packaged sample records it."""

from onchain_agg.chains.definition import Asset, EvmChain

CHAIN = EvmChain(
    name="anvil",
    chain_id=31337,
    conn_id="onchain_anvil",
    confirmations=64,
    batch_blocks=50,
    tracked_assets=(
        Asset(symbol="ETH", address=None, decimals=18, start_block=0, whale_threshold=10**21),
    ),
)
