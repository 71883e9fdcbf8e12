"""Ceph over the network: cluster bring-up, OSDs, volumes, mounts and their reconcilers."""
