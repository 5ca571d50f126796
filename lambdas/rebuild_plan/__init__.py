"""Plans a rebuild."""
