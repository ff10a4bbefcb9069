"""A local development chain on Foundry's anvil, as the packaged sample records it."""

from onchain_agg.chains.definition import Asset, EvmChain

CHAIN = EvmChain(
    name="anvil",
    chain_id=31337,
    conn_id="onchain_anvil",
    confirmations=64,
    batch_blocks=200,
    tracked_assets=(
        Asset(symbol="ETH", address=None, decimals=18, start_block=0, whale_threshold=10**21),
        # The sample's tokens; a deployer's first contracts on a new chain have these addresses.
        # Whales hold more than 2**128 of the first, whose threshold is 10**20 tokens.
        Asset(
            symbol="KRILL",
            address="0x5fbdb2315678afecb367f032d93f642f64180aa3",
            decimals=18,
            start_block=1,
            whale_threshold=10**38,
        ),
        # 1,000,000 CUSD.
        Asset(
            symbol="CUSD",
            address="0xe7f1725e7734ce288f8367e1bb143e90bb3f0512",
            decimals=6,
            start_block=1,
            whale_threshold=10**12,
        ),
        # A collection, for its owners.
        Asset(
            symbol="DECK",
            address="0x9fe46736679d2d9a65f0992f2272de9f3c7fa6e0",
            decimals=0,
            start_block=1,
            whale_threshold=2,
            standard=721,
            bluechip=True,
        ),
    ),
)
