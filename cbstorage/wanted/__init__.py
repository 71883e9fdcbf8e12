"""What people want of storage, written to etcd: clusters and where they run, volumes and who uses them."""
