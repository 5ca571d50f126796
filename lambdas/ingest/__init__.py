"""Kinesis records to profiles."""
