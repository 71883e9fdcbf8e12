"""The REST API of the old cb-network service, answered by ours, so that clients written for it work unchanged."""
