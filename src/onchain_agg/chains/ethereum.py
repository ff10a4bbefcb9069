"""Ethereum mainnet.

Native balances need traces from block 0 and the genesis allocation, and end before the DAO fork.
"""

from onchain_agg.chains.definition import Asset, EvmChain

CHAIN = EvmChain(
    name="ethereum",
    chain_id=1,
    conn_id="onchain_ethereum",
    confirmations=64,
    batch_blocks=200,
    native_gap="the DAO fork moved ether between accounts without a transaction",
    native_gap_from=1_920_000,
    wrapped_native="0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2",
    tracked_assets=(
        # 1,000 ETH in wei.
        Asset(symbol="ETH", address=None, decimals=18, start_block=0, whale_threshold=10**21),
        # 1,000,000 USDC.
        Asset(
            symbol="USDC",
            address="0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48",
            decimals=6,
            start_block=6_082_000,
            whale_threshold=10**12,
        ),
        # 1,000,000 USDT.
        Asset(
            symbol="USDT",
            address="0xdac17f958d2ee523a2206206994597c13d831ec7",
            decimals=6,
            start_block=4_634_000,
            whale_threshold=10**12,
        ),
        # 50,000 UNI.
        Asset(
            symbol="UNI",
            address="0x1f9840a85d5af5bf1d1762f925bdaddc4201f984",
            decimals=18,
            start_block=10_860_000,
            whale_threshold=5 * 10**22,
        ),
        Asset(
            symbol="PUNK",
            address="0xb47e3cd837ddf8e4c57f05d70ab865de6e193bbb",
            decimals=0,
            start_block=3_914_000,
            whale_threshold=1,
            standard=721,
            bluechip=True,
        ),
        Asset(
            symbol="WPUNKS",
            address="0xb7f7f6c52f2e2fdb1963eab30438024864c313f6",
            decimals=0,
            start_block=10_821_000,
            whale_threshold=1,
            standard=721,
            wraps="0xb47e3cd837ddf8e4c57f05d70ab865de6e193bbb",
        ),
        Asset(
            symbol="BAYC",
            address="0xbc4ca0eda7647a8ab7c2061c2e118a18a936f13d",
            decimals=0,
            start_block=12_287_000,
            whale_threshold=1,
            standard=721,
            bluechip=True,
        ),
    ),
)
