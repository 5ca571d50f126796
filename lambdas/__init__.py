"""Handlers: parse, one call into a use case, map the result."""
