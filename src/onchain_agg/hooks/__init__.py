"""RUN: Airflow connections → block sources and exchange clients."""

from onchain_agg.chains import Chain, EvmChain
from onchain_agg.hooks.bitcoin import BitcoinHook
from onchain_agg.hooks.evm import EvmHook
from onchain_agg.hooks.market import MarketHook
from onchain_agg.hooks.source import SourceHook

__all__ = ["BitcoinHook", "EvmHook", "MarketHook", "SourceHook", "hook_for"]


def hook_for(chain: Chain, conn_id: str | None = None) -> SourceHook:
    """Return the hook on *conn_id*, else the connection that *chain* names; asks nothing yet."""
    return (EvmHook if isinstance(chain, EvmChain) else BitcoinHook)(conn_id or chain.conn_id)
