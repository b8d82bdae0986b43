"""URLs of the vendors and of this service. Pure."""

import ipaddress
import re
from urllib.parse import urlsplit

from kustomer_klaviyo.setup.setup_error import SetupError, SetupErrorCode

KLAVIYO_URL = "https://a.klaviyo.com"
KUSTOMER_URL = "https://{}.api.kustomerapp.com"
WEBHOOK_PATH = "/webhooks/kustomer/{}"


def webhook_url(public_url: str, connection_id: str) -> str:
    """Return the URL to which Kustomer posts the events of a connection."""
    return public_url.rstrip("/") + WEBHOOK_PATH.format(connection_id)


def check_url(text: str) -> str:
    """Return the URL of a service. Raises SetupError if it is invalid."""
    if not re.match(r"https?://[\w.:\-\[\]]+(/[\w./\-]*)?\Z", text, re.ASCII) or not _url_host(text):
        raise SetupError(SetupErrorCode.INVALID_URL, url=text)
    return text


def site_url(text: str) -> str:
    """Return the URL of a site. Raises ValueError if it has a path, a query or credentials."""
    host = text.partition("://")[2].rstrip("/")
    try:
        return check_url(text.rstrip("/")) if host and "/" not in host else _reject_site_url(text)
    except SetupError:
        return _reject_site_url(text)


def _reject_site_url(text: str) -> str:
    given = text if "@" not in text else "one with a name or password in it"
    raise ValueError(f"an address without a path such as https://hooks.acme.com, not {given!r}")


def is_local(url: str) -> bool:
    """Whether a URL points to this machine, as in a trial."""
    host = _url_host(url)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _url_host(url: str) -> str:
    """Return the host of a URL; an empty string if it has none, or if its port is invalid."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    return "" if port == 0 else host
