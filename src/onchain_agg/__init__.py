"""Precomputes whale, NFT and market metrics from chain data into tables an API reads."""
