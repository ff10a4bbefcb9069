"""The heavy path: a chain's running state from all its facts, by DuckDB, to replace or to audit."""
