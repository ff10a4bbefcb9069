"""KEEP: exact tables in PostgreSQL. Knows SQL, sources and chains, but not Airflow."""
