"""Puts profiles whose function is to run on the queue."""
