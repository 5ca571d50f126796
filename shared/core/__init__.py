"""What a profile is and becomes: pure functions, no I/O, no clock, no randomness."""
