"""Volumes on a host: mounted, kept mounted, taken away."""
