"""Ends a version that cannot be built."""
