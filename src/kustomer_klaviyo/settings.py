"""What whoever runs the program may set, read once from the environment and handed down."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from kustomer_klaviyo.auth.oidc import SignOn
from kustomer_klaviyo.backoff import Patience
from kustomer_klaviyo.setup.credentials import is_local, site_of
from kustomer_klaviyo.store.conninfo import password_of
from kustomer_klaviyo.terminal import is_text

PREFIX = "KUSTOMER_KLAVIYO_"
OIDC = ("ISSUER", "CLIENT_ID", "CLIENT_SECRET", "ADMINS", "VIEWERS", "IDENTITY", "SCOPES")

SECRETS = (
    f"{PREFIX}SECRET_KEY", f"{PREFIX}METRICS_TOKEN", f"{PREFIX}OIDC_CLIENT_SECRET",
    "KUSTOMER_API_KEY", "KLAVIYO_PRIVATE_KEY", "KUSTOMER_WEBHOOK_TOKEN", "PGPASSWORD",
)  # fmt: skip
"""Variables whose values are shown nowhere."""

SHORTEST_SECRET = 3
"""Characters; hiding a single letter would spoil every text."""


class SettingsError(ValueError):
    """A setting cannot be used; the text names it and says what it may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one process."""

    data_directory: Path = Path("data")
    """Where the embedded PostgreSQL and the encryption key live."""
    database_url: str | None = field(default=None, repr=False)
    """A PostgreSQL 15 or newer of one's own; without it the embedded one is used."""
    secret_key: str | None = field(default=None, repr=False)
    """Encrypts the stored secrets; several, parted by commas, while it is changed. Else a file in the data
    directory."""
    metrics_token: str | None = field(default=None, repr=False)
    """Who reads /metrics must show this as a bearer token; without it the page does not exist."""
    public_url: str | None = None
    """Where browsers and Kustomer reach this service; without it the pages say how they were reached."""
    host: str = "127.0.0.1"
    port: int = 8080
    log_level: str = "info"
    patience: Patience = field(default_factory=Patience)
    sign_on: SignOn | None = None
    """An OpenID Connect provider by which people sign in; without it they have passwords."""

    @property
    def site(self) -> str:
        """Where the pages are, as far as it is known here."""
        return self.public_url or f"http://{self.host}:{self.port}"


def load_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings from the environment; what is set to nothing is not set. Raises SettingsError."""
    defaults = Settings()
    return Settings(
        data_directory=Path(_text(environment, PREFIX + "DATA") or defaults.data_directory),
        database_url=_database_url(environment),
        secret_key=_text(environment, PREFIX + "SECRET_KEY"),
        metrics_token=_text(environment, PREFIX + "METRICS_TOKEN"),
        public_url=_public_url(environment),
        host=_text(environment, PREFIX + "HOST") or defaults.host,
        port=_port(_text(environment, PREFIX + "PORT") or str(defaults.port)),
        log_level=_level(_text(environment, PREFIX + "LOG_LEVEL") or defaults.log_level),
        patience=_patience(environment),
        sign_on=_sign_on(environment),
    )


def hidden(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return a text without the secrets of the environment, which a library's words may repeat."""
    for secret in sorted(_secrets(environment), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _secrets(environment: Mapping[str, str]) -> set[str]:
    given = {value for name in SECRETS for value in environment.get(name, "").split(",")}
    written = environment.get("DATABASE_URL", "")
    try:
        password = password_of(written) if written else None
    except ValueError:
        password = written
    escaped = written.partition("://")[2].rpartition("@")[0].partition(":")[2]
    known = {one.strip() for one in (*given, password or "", escaped)}
    return {way for one in known if len(one) >= SHORTEST_SECRET for way in _ways_to_write(one)}


def _ways_to_write(secret: str) -> set[str]:
    """Return how texts repeat a secret: as it is, in Python's and JSON's strings, within an address."""
    plain = {secret, repr(secret)[1:-1], quote(secret, safe="", errors="replace"), quote(secret, errors="replace")}
    return {way for one in plain for way in (one, json.dumps(one)[1:-1], json.dumps(one, ensure_ascii=False)[1:-1])}


def _text(environment: Mapping[str, str], name: str) -> str | None:
    text = environment.get(name, "").strip()
    if not is_text(text):
        raise SettingsError(f"{name} is not UTF-8")
    return text or None


def _database_url(environment: Mapping[str, str]) -> str | None:
    url = _text(environment, "DATABASE_URL")
    if url is not None:
        try:
            password_of(url)
        except ValueError as error:
            raise SettingsError(f"DATABASE_URL must be a PostgreSQL address {error}") from None
    return url


def _public_url(environment: Mapping[str, str]) -> str | None:
    text = _text(environment, PREFIX + "PUBLIC_URL")
    if text is None:
        return None
    try:
        return site_of(text)
    except ValueError as error:
        raise SettingsError(f"{PREFIX}PUBLIC_URL must be {error}") from None


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:6]) <= 65535):
        raise SettingsError(f"{PREFIX}PORT must be a number from 0 to 65535, not {text!r}")
    return int(text)


def _level(text: str) -> str:
    levels = ("debug", "info", "warning", "error")
    if text.lower() not in levels:
        raise SettingsError(f"{PREFIX}LOG_LEVEL must be one of {', '.join(levels)}, not {text!r}")
    return text.lower()


def _patience(environment: Mapping[str, str]) -> Patience:
    """Read how long to wait between tries: the longest waits of a quick test are not those of a service."""
    defaults = Patience()
    names = ("first_wait", "longest_wait", "first_pause", "longest_pause")
    read: dict[str, Any] = {name: _seconds(environment, name.upper(), getattr(defaults, name)) for name in names}
    return Patience(**read, tries=_tries(_text(environment, PREFIX + "TRIES") or str(defaults.tries)))


def _tries(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) < 100_000):
        raise SettingsError(f"{PREFIX}TRIES must be a number from 1 to 99999, not {text!r}")
    return int(text)


def _sign_on(environment: Mapping[str, str]) -> SignOn | None:
    given = {name: _text(environment, f"{PREFIX}OIDC_{name}") or "" for name in OIDC}
    if not any(given.values()):
        return None
    missing = [f"{PREFIX}OIDC_{name}" for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET", "ADMINS") if not given[name]]
    if missing:
        raise SettingsError(f"To sign in with a provider, set {', '.join(missing)} as well")
    if not _is_issuer(given["ISSUER"]):
        raise SettingsError(f"{PREFIX}OIDC_ISSUER must be the provider's address, which begins with https://")
    return SignOn(
        issuer=given["ISSUER"],
        client_id=given["CLIENT_ID"],
        client_secret=given["CLIENT_SECRET"],
        admins=_entries(given["ADMINS"]),
        viewers=_entries(given["VIEWERS"]),
        identity=given["IDENTITY"] or "email",
        scopes=given["SCOPES"] or "openid email",
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
