"""Deletes what a version has left."""
