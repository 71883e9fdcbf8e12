"""What control nodes do: found the system, give addresses and rules."""
