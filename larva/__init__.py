"""Ground floor: the command-line shell, errors, running programs, whole-file writes, logging, benches."""

__version__ = "0.1.0"
