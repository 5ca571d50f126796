"""Use cases, on ports that adapters implement."""
