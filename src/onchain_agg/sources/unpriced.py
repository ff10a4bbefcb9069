"""Why an NFT's trade has no price, where data sets ask for it; read by every DAG file, so light."""

# Its price is in a bid of an earlier transaction, a `Bid`.
ACCEPTED_BID = "accepted bid"
