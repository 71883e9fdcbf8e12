"""Ceph's daemons on one host: from a device or an empty directory to a running unit."""
