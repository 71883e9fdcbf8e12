"""What is wrong with this host, and what to do."""
