"""etcd: calls with fail-over, typed values, watches, and the loop that looks again."""
