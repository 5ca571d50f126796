"""Implements `Secrets` on AWS Secrets Manager."""

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from shared.app.secrets import SecretUnavailableError


class SecretsManager:
    """Reads secrets."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def read(self, name: str) -> str:
        """Return a secret's text. Raises SecretUnavailableError."""
        try:
            answer = self._client.get_secret_value(SecretId=name)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            raise SecretUnavailableError(f"the secret {name} cannot be read: {code}") from None
        except BotoCoreError as error:
            raise SecretUnavailableError(
                f"the secret {name} cannot be read: {type(error).__name__}"
            ) from None
        text = answer.get("SecretString")
        if not isinstance(text, str):
            raise SecretUnavailableError(f"the secret {name} is no text")
        return text
