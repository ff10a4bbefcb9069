"""The tables of the schemas ``chain``, ``market``, ``state`` and ``ops``.

``serving`` and ``history`` hold what the data sets define; `versions` makes those.
"""

from onchain_agg.warehouse.tables import chain, market, ops, state
from onchain_agg.warehouse.tables.registry import METADATA, SCHEMAS, is_partitioned

__all__ = ["METADATA", "SCHEMAS", "chain", "is_partitioned", "market", "ops", "state"]
