"""What releases of Kith have written, kept for good: every later release must read it."""
