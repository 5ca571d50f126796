"""The local cloud: an AWS-compatible engine on this machine, and what it lacks."""
