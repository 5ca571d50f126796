"""Has profile functions run, and writes their results."""
