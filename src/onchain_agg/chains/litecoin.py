"""Litecoin. Amounts inside MWEB are hidden; only their peg-in and peg-out outputs are counted."""

from onchain_agg.chains.definition import Asset, UtxoChain

CHAIN = UtxoChain(
    name="litecoin",
    conn_id="onchain_litecoin",
    confirmations=6,
    batch_blocks=1000,
    magic=bytes.fromhex("fbc0b6db"),
    genesis_hash="12a765e31ffd4059bada1e25190f6e98c99d9714d334efa41a195a7e7e04bfe2",
    subsidy=50 * 10**8,
    halving_blocks=840_000,
    pubkey_prefix=0x30,
    script_prefix=0x32,
    bech32_hrp="ltc",
    tracked_assets=(
        # 10,000 LTC in litoshi.
        Asset(symbol="LTC", address=None, decimals=8, start_block=0, whale_threshold=10**12),
    ),
)
