"""Security updates of a host, one host of a storage cluster at a time."""
