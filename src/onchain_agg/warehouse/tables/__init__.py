"""The tables of the schemas ``chain``, ``state`` and ``ops``.

``serving`` and ``history`` hold what the data sets define; `versions` makes those.
"""

from onchain_agg.warehouse.tables import chain, ops, state
from onchain_agg.warehouse.tables.registry import METADATA, SCHEMAS, is_partitioned

__all__ = ["METADATA", "SCHEMAS", "chain", "is_partitioned", "ops", "state"]
