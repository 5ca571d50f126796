"""Profile ids: a function of who founded the profile, so that a rebuild finds the same ones."""

from hashlib import blake2b

from shared.core.identity.identifiers import Identifier


def profile_id(builder: str, founder: Identifier, *salt: int) -> str:
    """Return the id of the profile that an identifier founds: 32 hex digits.

    A first life has no salt; a later one is salted with its founding arrival (ms UTC), and with a counter
    where several began at once.
    """
    # The length of each part goes in too: no two lists of parts give the same text.
    parts = [builder, founder.type, founder.value, *map(str, salt)]
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return blake2b(text.encode(), digest_size=16).hexdigest()
