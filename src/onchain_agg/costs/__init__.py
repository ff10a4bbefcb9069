"""What the deployment costs: prices, and what follows of them for routing and environments."""
