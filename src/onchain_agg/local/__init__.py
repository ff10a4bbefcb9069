"""Airflow on one machine: its processes, its databases and one job from input to tables."""
