"""Keys that an admin enters, and how they replace each other. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from kustomer_klaviyo.setup.setup_error import SetupError, SetupErrorCode
from kustomer_klaviyo.store.connections import Secrets

MAX_KEY_LENGTH = 2000
"""Characters. Kustomer's keys are tokens of several hundred."""

MAX_KLAVIYO_KEYS = 2
MAX_WEBHOOK_TOKENS = 3
"""The current token, and previous ones, since webhooks signed with them may still arrive."""


def clean_secret(title: str, text: str) -> str:
    """Return a pasted key without surrounding white space. Raises SetupError if it cannot be a key."""
    key = text.strip()
    if not key:
        raise SetupError(SetupErrorCode.SECRET_EMPTY, title=title)
    if any(character.isspace() or not character.isprintable() for character in key) or len(key) > MAX_KEY_LENGTH:
        raise SetupError(SetupErrorCode.SECRET_MALFORMED, title=title)
    return key


def prepend_secret(current: str, previous: Sequence[str], *, limit: int) -> tuple[str, ...]:
    """Put the current secret before the previous ones, without duplicates."""
    return tuple(dict.fromkeys((current, *previous)))[:limit]


def with_klaviyo_key(secrets: Secrets, key: str, *, keep_previous: bool = True) -> Secrets:
    """Make a Klaviyo key the current one. The previous one becomes the fallback, or is dropped."""
    previous = secrets.klaviyo_keys if keep_previous else ()
    return replace(secrets, klaviyo_keys=prepend_secret(key, previous, limit=MAX_KLAVIYO_KEYS))


def with_current_klaviyo_key_only(secrets: Secrets) -> Secrets:
    """Drop the fallback key."""
    return replace(secrets, klaviyo_keys=secrets.klaviyo_keys[:1])


def with_webhook_token(secrets: Secrets, token: str) -> Secrets:
    """Make a webhook token the current one. Previous ones are still accepted."""
    return replace(secrets, webhook_tokens=prepend_secret(token, secrets.webhook_tokens, limit=MAX_WEBHOOK_TOKENS))
