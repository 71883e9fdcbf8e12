"""What runs on every host: this host in its CLADNets."""
