"""What whoever runs the program may set, read once from the environment and handed down."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kustomer_klaviyo.flow.retry import Patience
from kustomer_klaviyo.flow.sign_on import SignOn

PREFIX = "KUSTOMER_KLAVIYO_"
OIDC = ("ISSUER", "CLIENT_ID", "CLIENT_SECRET", "ADMINS", "VIEWERS", "IDENTITY", "SCOPES")


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
    """Read the settings from the environment. Raises SettingsError."""
    defaults = Settings()
    return Settings(
        data_directory=Path(environment.get(PREFIX + "DATA", str(defaults.data_directory))),
        database_url=environment.get("DATABASE_URL") or None,
        secret_key=environment.get(PREFIX + "SECRET_KEY") or None,
        metrics_token=environment.get(PREFIX + "METRICS_TOKEN") or None,
        public_url=(environment.get(PREFIX + "PUBLIC_URL") or "").rstrip("/") or None,
        host=environment.get(PREFIX + "HOST", defaults.host),
        port=_port(environment.get(PREFIX + "PORT", str(defaults.port))),
        log_level=_level(environment.get(PREFIX + "LOG_LEVEL", defaults.log_level)),
        patience=_patience(environment),
        sign_on=_sign_on(environment),
    )


def _port(text: str) -> int:
    if not text.isdigit() or not 0 <= int(text) <= 65535:
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
    return Patience(**read, tries=int(_seconds(environment, "TRIES", defaults.tries)))


def _sign_on(environment: Mapping[str, str]) -> SignOn | None:
    given = {name: environment.get(f"{PREFIX}OIDC_{name}", "").strip() for name in OIDC}
    if not any(given.values()):
        return None
    missing = [f"{PREFIX}OIDC_{name}" for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET", "ADMINS") if not given[name]]
    if missing:
        raise SettingsError(f"To sign in with a provider, set {', '.join(missing)} as well")
    if not given["ISSUER"].startswith("https://") and not given["ISSUER"].startswith("http://127.0.0.1"):
        raise SettingsError(f"{PREFIX}OIDC_ISSUER must begin with https://")
    return SignOn(
        issuer=given["ISSUER"],
        client_id=given["CLIENT_ID"],
        client_secret=given["CLIENT_SECRET"],
        admins=_entries(given["ADMINS"]),
        viewers=_entries(given["VIEWERS"]),
        identity=given["IDENTITY"] or "email",
        scopes=given["SCOPES"] or "openid email",
    )


def _entries(text: str) -> tuple[str, ...]:
    return tuple(entry.strip() for entry in text.split(",") if entry.strip())


def _seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(PREFIX + name, str(default))
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 1e7:
        raise SettingsError(f"{PREFIX}{name} must be a positive number, not {text!r}")
    return seconds
