"""Aggregations: how the values of an attribute become one; `base.py` says what they all are."""
