"""The story told on the lab: bring everything up as a user would, and prove what it is for."""
