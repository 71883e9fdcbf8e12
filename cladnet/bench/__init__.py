"""`larva bench control`: what a change costs the control plane at a growing number of hosts."""
