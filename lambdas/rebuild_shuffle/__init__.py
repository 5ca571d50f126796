"""Sorts a part of a rebuild by partition."""
