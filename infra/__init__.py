"""The CDK app: stack.py composes, and each other file is one capability of the system."""

import os

# Node 20 does all that CDK needs; without this, each run prints a page about its age.
os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "20")
