"""Reads a part of the archive for a rebuild."""
