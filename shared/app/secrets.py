"""Secrets: read when the process of a program is started, by whoever starts it."""

from collections.abc import Iterable, Mapping
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

import msgspec

from shared.core.definition import Secret
from shared.core.masking import MASKED_LENGTH_MIN
from shared.core.sandbox import Program, Start


class SecretUnavailableError(Exception):
    """A secret cannot be read, or is none; the message names it, and holds nothing of it."""


class Secrets(Protocol):
    """Where secrets are kept."""

    def read(self, name: str) -> str:
        """Return a secret's text. Raises SecretUnavailableError."""
        ...


class NoSecrets:
    """Knows no secret."""

    def read(self, name: str) -> str:
        """Raise SecretUnavailableError."""
        raise SecretUnavailableError(f"the secret {name} cannot be read here")


NO_SECRETS: Final = NoSecrets()


def start_of(program: Program, secrets: Secrets) -> Start:
    """Put the secrets of a program in their places. Raises SecretUnavailableError."""
    env = resolved(program.env, secrets)
    warehouses = resolved(program.warehouses, secrets)
    return Start(
        program.builder,
        program.version,
        program.source,
        program.file,
        env,
        program.fetch,
        warehouses,
        hidden_of(warehouses.values()),
    )


def resolved(values: Mapping[str, str | Secret], secrets: Secrets) -> dict[str, str]:
    """Replace secrets by what they are. Raises SecretUnavailableError."""
    return {name: one if isinstance(one, str) else _read(one, secrets) for name, one in values.items()}


def hidden_of(urls: Iterable[str]) -> tuple[str, ...]:
    """Return what of URLs must be seen nowhere: each as a whole, and its password."""
    hidden: list[str] = []
    for url in urls:
        hidden.append(url)
        try:
            password = urlsplit(url).password
        except ValueError:  # no URL at all, which whoever opens it will tell
            continue
        if password:
            hidden += (password, unquote(password))
    return tuple(hidden)


def _read(secret: Secret, secrets: Secrets) -> str:
    text = secrets.read(secret.secret)
    value: object = text
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which no process can be told
        raise SecretUnavailableError(f"the secret {secret.secret} is no text") from None
    if secret.key is not None:
        try:
            value = msgspec.json.decode(text, type=dict[str, object])[secret.key]
        except (msgspec.MsgspecError, KeyError, RecursionError):
            raise SecretUnavailableError(
                f"the secret {secret.secret} is no JSON object with the key {secret.key}"
            ) from None
    if not isinstance(value, str) or len(value) < MASKED_LENGTH_MIN:
        raise SecretUnavailableError(
            f"the secret {secret.secret} must be text of {MASKED_LENGTH_MIN} characters or more"
        )
    return value
