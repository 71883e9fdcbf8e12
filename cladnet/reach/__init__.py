"""How a command reaches the system: over etcd where it runs on a control node, through the API from elsewhere."""
