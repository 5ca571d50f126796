"""Runs the profile functions of builders."""
