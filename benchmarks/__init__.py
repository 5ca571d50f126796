"""Speed and cost, measured: `make bench`."""
