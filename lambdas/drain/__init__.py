"""Drains what ingestion gave up on."""
