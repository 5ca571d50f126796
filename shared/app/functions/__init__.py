"""Profile functions: when they run, and what becomes of their results."""
