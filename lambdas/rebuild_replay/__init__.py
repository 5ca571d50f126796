"""Makes the profiles of a partition of a rebuild."""
