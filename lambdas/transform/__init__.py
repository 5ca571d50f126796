"""Runs the transformations of builders."""
