"""How many identifiers of a type one profile may have."""

from collections.abc import Iterable, Mapping

from shared.core.identity.identifiers import Identifier


def exceeds(limits: Mapping[str, int], identifiers: Iterable[Identifier]) -> bool:
    """Whether a profile with all of these identifiers would be over a limit."""
    counts = dict.fromkeys(limits, 0)
    for identifier in set(identifiers):
        if identifier.type in counts:
            counts[identifier.type] += 1
    return any(counts[kind] > limit for kind, limit in limits.items())
