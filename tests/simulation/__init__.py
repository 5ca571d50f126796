"""The real code on a simulated world: one seed is one run, whatever happens in it."""
