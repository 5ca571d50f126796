"""The CDK app: stack.py composes, and each other file is one capability of the system."""
