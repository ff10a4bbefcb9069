"""CHECK: rules that hold for any folder of DAGs."""
