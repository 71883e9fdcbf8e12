"""What the console costs and how soon it tells, measured."""
