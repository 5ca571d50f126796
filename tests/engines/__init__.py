"""The scenarios of the simulation on real engines: real threads, real processes, real SIGKILL."""
