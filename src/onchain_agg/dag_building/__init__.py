"""WHEN: chains → ingest DAGs, data sets → metric DAGs.

Building reads definitions only: no database, no connection, no clock.
"""
