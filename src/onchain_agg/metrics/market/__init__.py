"""Data sets about what is traded: prices, returns, premiums, funding."""
