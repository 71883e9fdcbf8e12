"""What is Ceph's own: its keys, configuration, placement of copies, and the words spoken with its monitors."""
