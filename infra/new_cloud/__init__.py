"""A skeleton for a new cloud, and the list of what every cloud consists of."""
