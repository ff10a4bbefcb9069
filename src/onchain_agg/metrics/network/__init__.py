"""Networks: activity, supply, fees and security of a chain."""
