"""Linear heads for a few rows per class, many small problems at once."""
