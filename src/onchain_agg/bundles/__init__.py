"""Where DAG files come from: a bundle for what git-sync delivers."""

from onchain_agg.bundles.git_sync import GitSyncDagBundle

__all__ = ["GitSyncDagBundle"]
