"""What one host, the leading monitor's, does for the whole cluster."""
