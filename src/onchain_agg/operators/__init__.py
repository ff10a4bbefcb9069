"""RUN: thin tasks. Each reads its arguments, calls the library and translates its errors.

For DAGs of any repository: `IngestBlocksOperator`, `PublishDataSetOperator`, `RebuildOperator` and
`SourceTableReadySensor`; as TaskFlow tasks, the functions of `ingest` and `publish`.
"""

from onchain_agg.operators.ingest_operator import IngestBlocksOperator
from onchain_agg.operators.publish_operator import PublishDataSetOperator
from onchain_agg.operators.rebuild_operator import RebuildOperator
from onchain_agg.operators.source_table import SourceTableReadySensor

__all__ = [
    "IngestBlocksOperator",
    "PublishDataSetOperator",
    "RebuildOperator",
    "SourceTableReadySensor",
]
