"""Whales: large holders, large transfers, concentration."""
