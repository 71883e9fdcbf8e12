"""Who may do what in etcd."""
