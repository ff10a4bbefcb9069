"""RUN: Airflow connections → block sources."""

from onchain_agg.chains import Chain, EvmChain
from onchain_agg.hooks.bitcoin import BitcoinHook
from onchain_agg.hooks.evm import EvmHook
from onchain_agg.hooks.source import SourceHook

__all__ = ["BitcoinHook", "EvmHook", "SourceHook", "hook_for"]


def hook_for(chain: Chain) -> SourceHook:
    """Return the hook on the connection that *chain* names; nothing is looked up yet."""
    return (EvmHook if isinstance(chain, EvmChain) else BitcoinHook)(chain.conn_id)
