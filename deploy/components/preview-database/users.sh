#!/usr/bin/env bash
# Runs once, as the database is made: the users that a managed database has too, and the warehouse.
set -euo pipefail
psql --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname=airflow \
  --set=results="$RESULTS_USER" --set=results_password="$RESULTS_PASSWORD" \
  --set=keda_password="$KEDA_PASSWORD" <<'SQL'
CREATE ROLE :"results" LOGIN PASSWORD :'results_password';
GRANT USAGE, CREATE ON SCHEMA public TO :"results";
CREATE ROLE keda LOGIN PASSWORD :'keda_password';
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO keda;
CREATE DATABASE onchain;
SQL
