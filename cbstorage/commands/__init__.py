"""`larva storage` and `larva volume`."""
