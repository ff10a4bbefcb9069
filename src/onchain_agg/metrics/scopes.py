"""The scopes that a data set is computed for: chains, venues, or the one that is global."""

from sqlalchemy import Connection

from onchain_agg.chains import all_chains, chain_named
from onchain_agg.errors import ConfigError
from onchain_agg.markets import GLOBAL
from onchain_agg.metrics.dataset import DataSet
from onchain_agg.metrics.inputs import recorded_scopes


def scopes_of(connection: Connection, dataset: DataSet) -> list[str]:
    """Return every scope of *dataset*; of venues those that have facts."""
    if dataset.scope == "chain":
        return sorted(chain.name for chain in all_chains().values() if dataset.covers(chain))
    if dataset.scope == "global":
        return [GLOBAL]
    return recorded_scopes(connection, dataset)


def check_scope(connection: Connection, dataset: DataSet, scope: str) -> None:
    """Return where *dataset* is computed for *scope*.

    Raises:
        UnknownNameError: No such chain.
        ConfigError: The data set is not computed for it; says what it is computed for.
    """
    if dataset.scope == "chain":
        chain_named(scope)
    known = scopes_of(connection, dataset)
    if scope not in known:
        cure = f"Choose {' or '.join(known)}." if known else "No venue has facts for it yet."
        raise ConfigError(f"{dataset.name} is not computed for {scope}. {cure}")
