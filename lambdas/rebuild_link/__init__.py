"""Links the parts of a rebuild."""
