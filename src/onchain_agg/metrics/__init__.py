"""DERIVE: one file a data set."""
