"""Bitcoin. Six confirmations are final by convention; a fork of 144 has never been seen."""

from onchain_agg.chains.definition import Asset, UtxoChain

CHAIN = UtxoChain(
    name="bitcoin",
    conn_id="onchain_bitcoin",
    confirmations=6,
    batch_blocks=500,
    magic=bytes.fromhex("f9beb4d9"),
    genesis_hash="000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f",
    subsidy=50 * 10**8,
    halving_blocks=210_000,
    pubkey_prefix=0x00,
    script_prefix=0x05,
    bech32_hrp="bc",
    tracked_assets=(
        # 100 BTC in satoshi.
        Asset(symbol="BTC", address=None, decimals=8, start_block=0, whale_threshold=10**10),
    ),
)
