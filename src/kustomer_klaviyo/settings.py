"""The settings of a process, read once from the environment."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from kustomer_klaviyo.auth.oidc import OidcSettings
from kustomer_klaviyo.backoff import RetrySettings
from kustomer_klaviyo.setup.service_urls import is_local, site_url
from kustomer_klaviyo.store.conninfo import read_password
from kustomer_klaviyo.terminal import is_utf8

PREFIX = "KUSTOMER_KLAVIYO_"
OIDC_VARIABLES = ("ISSUER", "CLIENT_ID", "CLIENT_SECRET", "ADMINS", "VIEWERS", "IDENTITY", "SCOPES")
REQUIRED_OIDC_VARIABLES = ("ISSUER", "CLIENT_ID", "CLIENT_SECRET", "ADMINS")

SECRETS = (
    f"{PREFIX}SECRET_KEY", f"{PREFIX}METRICS_TOKEN", f"{PREFIX}OIDC_CLIENT_SECRET",
    "KUSTOMER_API_KEY", "KLAVIYO_PRIVATE_KEY", "KUSTOMER_WEBHOOK_TOKEN", "PGPASSWORD",
)  # fmt: skip
"""Environment variables whose values are never shown."""

MIN_SECRET_LENGTH = 3
"""Shorter values are not redacted: replacing a single letter would garble every text."""

RETRY_VARIABLES = {
    "initial_seconds": "RETRY_INITIAL_SECONDS",
    "max_seconds": "RETRY_MAX_SECONDS",
    "auth_initial_seconds": "AUTH_RETRY_INITIAL_SECONDS",
    "auth_max_seconds": "AUTH_RETRY_MAX_SECONDS",
}
"""The environment variable of each field of ``RetrySettings`` that is a number of seconds."""


class SettingsError(ValueError):
    """A setting is invalid. The message names it and the values it accepts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one process."""

    data_directory: Path = Path("data")
    """Holds the embedded PostgreSQL and the encryption key."""
    database_url: str | None = field(default=None, repr=False)
    """An external PostgreSQL, 15 or newer. None: the embedded one."""
    secret_key: str | None = field(default=None, repr=False)
    """Encrypts the stored secrets; several keys, separated by commas, during a rotation. None: a file in the data
    directory holds the key."""
    metrics_token: str | None = field(default=None, repr=False)
    """The bearer token that /metrics requires. None: /metrics does not exist."""
    public_url: str | None = None
    """The URL at which browsers and Kustomer reach this service. None: pages use the URL of the request."""
    host: str = "127.0.0.1"
    port: int = 8080
    log_level: str = "info"
    retry: RetrySettings = field(default_factory=RetrySettings)
    oidc: OidcSettings | None = None
    """The OpenID Connect provider for sign-in. None: users sign in with passwords."""

    @property
    def base_url(self) -> str:
        """The URL of the pages, as far as the settings show it."""
        return self.public_url or f"http://{self.host}:{self.port}"


def load_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings from the environment. An empty variable counts as unset. Raises SettingsError."""
    defaults = Settings()
    return Settings(
        data_directory=Path(_text(environment, PREFIX + "DATA_DIRECTORY") or defaults.data_directory),
        database_url=_database_url(environment),
        secret_key=_text(environment, PREFIX + "SECRET_KEY"),
        metrics_token=_text(environment, PREFIX + "METRICS_TOKEN"),
        public_url=_public_url(environment),
        host=_text(environment, PREFIX + "HOST") or defaults.host,
        port=_port(_text(environment, PREFIX + "PORT") or str(defaults.port)),
        log_level=_log_level(_text(environment, PREFIX + "LOG_LEVEL") or defaults.log_level),
        retry=_retry_settings(environment),
        oidc=_oidc_settings(environment),
    )


def redact(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """Replace the environment's secrets in a text: error messages of libraries may repeat them."""
    for secret in sorted(_secrets(environment), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _secrets(environment: Mapping[str, str]) -> set[str]:
    values = {value for name in SECRETS for value in environment.get(name, "").split(",")}
    database_url = environment.get("DATABASE_URL", "")
    try:
        password = read_password(database_url) if database_url else None
    except ValueError:
        password = database_url
    escaped_password = database_url.partition("://")[2].rpartition("@")[0].partition(":")[2]
    secrets = {value.strip() for value in (*values, password or "", escaped_password)}
    return {form for secret in secrets if len(secret) >= MIN_SECRET_LENGTH for form in _written_forms(secret)}


def _written_forms(secret: str) -> set[str]:
    """Return the forms in which a text may contain a secret: plain, in a Python or JSON string, in a URL."""
    forms = {secret, repr(secret)[1:-1], quote(secret, safe="", errors="replace"), quote(secret, errors="replace")}
    in_json = {json.dumps(form, ensure_ascii=is_ascii)[1:-1] for form in forms for is_ascii in (True, False)}
    return forms | in_json


def _text(environment: Mapping[str, str], name: str) -> str | None:
    text = environment.get(name, "").strip()
    if not is_utf8(text):
        raise SettingsError(f"{name} is not UTF-8")
    return text or None


def _database_url(environment: Mapping[str, str]) -> str | None:
    url = _text(environment, "DATABASE_URL")
    if url is not None:
        try:
            read_password(url)
        except ValueError as error:
            raise SettingsError(f"DATABASE_URL must be a PostgreSQL URL {error}") from None
    return url


def _public_url(environment: Mapping[str, str]) -> str | None:
    text = _text(environment, PREFIX + "PUBLIC_URL")
    if text is None:
        return None
    try:
        return site_url(text)
    except ValueError as error:
        raise SettingsError(f"{PREFIX}PUBLIC_URL must be {error}") from None


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:6]) <= 65535):
        raise SettingsError(f"{PREFIX}PORT must be a number from 0 to 65535, not {text!r}")
    return int(text)


def _log_level(text: str) -> str:
    levels = ("debug", "info", "warning", "error")
    if text.lower() not in levels:
        raise SettingsError(f"{PREFIX}LOG_LEVEL must be one of {', '.join(levels)}, not {text!r}")
    return text.lower()


def _retry_settings(environment: Mapping[str, str]) -> RetrySettings:
    defaults = RetrySettings()
    seconds: dict[str, Any] = {
        name: _seconds(environment, variable, getattr(defaults, name)) for name, variable in RETRY_VARIABLES.items()
    }
    max_attempts = _text(environment, PREFIX + "RETRY_MAX_ATTEMPTS") or str(defaults.max_attempts)
    return RetrySettings(**seconds, max_attempts=_max_attempts(max_attempts))


def _max_attempts(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) < 100_000):
        raise SettingsError(f"{PREFIX}RETRY_MAX_ATTEMPTS must be a number from 1 to 99999, not {text!r}")
    return int(text)


def _oidc_settings(environment: Mapping[str, str]) -> OidcSettings | None:
    values = {name: _text(environment, f"{PREFIX}OIDC_{name}") or "" for name in OIDC_VARIABLES}
    if not any(values.values()):
        return None
    missing = [f"{PREFIX}OIDC_{name}" for name in REQUIRED_OIDC_VARIABLES if not values[name]]
    if missing:
        raise SettingsError(f"To sign in with a provider, set {', '.join(missing)} as well")
    if not _is_issuer(values["ISSUER"]):
        raise SettingsError(f"{PREFIX}OIDC_ISSUER must be the provider's URL, beginning with https://")
    return OidcSettings(
        issuer=values["ISSUER"],
        client_id=values["CLIENT_ID"],
        client_secret=values["CLIENT_SECRET"],
        admins=_entries(values["ADMINS"]),
        viewers=_entries(values["VIEWERS"]),
        identity_claim=values["IDENTITY"] or "email",
        scopes=values["SCOPES"] or "openid email",
    )


def _is_issuer(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and is_local(text)))
    except ValueError:
        return False


def _entries(text: str) -> tuple[str, ...]:
    return tuple(entry.strip() for entry in text.split(",") if entry.strip())


def _seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    text = _text(environment, PREFIX + name) or str(default)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 1e7:
        raise SettingsError(f"{PREFIX}{name} must be a positive number, not {text!r}")
    return seconds
