"""What people read in the console: one table a language, each with the same keys."""
