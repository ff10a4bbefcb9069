"""A local Bitcoin-family test chain, as the packaged sample records it.

The sample comes from a Litecoin node in regtest mode, whose addresses look like testnet's.
"""

from onchain_agg.chains.definition import Asset, UtxoChain

CHAIN = UtxoChain(
    name="regtest",
    conn_id="onchain_regtest",
    confirmations=6,
    batch_blocks=500,
    magic=bytes.fromhex("fabfb5da"),
    genesis_hash="530827f38f93b43ed12af0b3ad25a288dc02ed74d6d7857862df51fc56c416f9",
    subsidy=50 * 10**8,
    halving_blocks=150,
    pubkey_prefix=0x6F,
    script_prefix=0x3A,
    bech32_hrp="rltc",
    tracked_assets=(
        # 100 coins.
        Asset(symbol="RTC", address=None, decimals=8, start_block=0, whale_threshold=10**10),
    ),
)
