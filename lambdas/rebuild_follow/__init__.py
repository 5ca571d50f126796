"""Lets a rebuilt version follow the stream."""
