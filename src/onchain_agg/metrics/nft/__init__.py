"""NFTs: trades, collections, markets and holders."""
