"""WHERE: each task to the worker or pod that suits it, from one table."""
