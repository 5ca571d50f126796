"""Profile ids: a function of who founded the profile, so that a rebuild finds the same ones."""

from hashlib import blake2b
from typing import Final

from shared.core.identity.identifiers import Identifier

_begun: Final = blake2b(digest_size=16).copy


def profile_id(builder: str, founder: Identifier, *salt: int) -> str:
    """Return the id of the profile that an identifier founds: 32 hex digits.

    A first life has no salt; a later one is salted with its founding arrival (ms UTC), and with a counter
    where several began at once.
    """
    # The length of each part goes in too: no two lists of parts give the same text.
    kind, value = founder
    text = f"{len(builder)}:{builder}{len(kind)}:{kind}{len(value)}:{value}"
    for part in map(str, salt):
        text += f"{len(part)}:{part}"
    begun = _begun()  # hot: to copy a hash that has begun takes half as long as to begin one
    begun.update(text.encode())
    return begun.hexdigest()
