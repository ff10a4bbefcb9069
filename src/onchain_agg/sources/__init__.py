"""READ: network or file to typed Arrow batches. Knows neither SQL nor Airflow."""
