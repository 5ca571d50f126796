"""Bytes that mean harm: whatever is read from outside ends with a result or with a reason."""
