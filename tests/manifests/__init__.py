"""Reads what is deployed and judges it, for the tests in tests/deploy."""
