"""Rebuilding: a new version of a builder, from the archive and by the engine that runs live.

    plan -> scan -> link -> shuffle -> replay -> verify -> follow -> cut_over -> clean_up; fail

One file per state, each a use case on ports. Every state may run again, or twice at once: what it writes has
a fixed name and is written whole, and nothing is counted that is not in such an object.
"""
