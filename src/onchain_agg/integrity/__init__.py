"""CHECK: rules that hold for any folder of DAGs."""

from onchain_agg.integrity.waivers import waive

__all__ = ["waive"]
