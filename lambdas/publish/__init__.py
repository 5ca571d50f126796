"""Publishes the builders at a deploy."""
