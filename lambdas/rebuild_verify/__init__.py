"""Accounts for the events of a rebuild."""
