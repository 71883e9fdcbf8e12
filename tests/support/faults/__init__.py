"""The failure suite: what goes wrong when, a workload that is checked, and how each thing is made to go wrong."""
