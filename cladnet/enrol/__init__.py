"""How a host becomes one of the system: authority, tokens, joining, membership."""
