"""Which email addresses Klaviyo takes. Pure.

Klaviyo says no more than *valid, fewer than 100 characters* (developers.klaviyo.com/en/reference/events_api_overview),
so some are surely taken, some may be, and the rest surely is not.
"""

import re
from enum import IntEnum

LONGEST_EMAIL = 99
LONGEST_LOCAL = 64
"""Octets (RFC 5321, 4.5.3.1.1)."""

_SURE_ATOM = r"[A-Za-z0-9_](?:[A-Za-z0-9_+'-]*[A-Za-z0-9_])?"
_SURE_LOCAL = re.compile(rf"{_SURE_ATOM}(?:\.{_SURE_ATOM})*\Z")
_LOCAL = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*\Z")
"""RFC 5322's dot-atom, and the letters of RFC 6531; quoted ones are not for marketing."""

_SURE_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_TOP = r"(?:[A-Za-z]{2,63}|[Xx][Nn]--[A-Za-z0-9-]{0,58}[A-Za-z0-9])"
_SURE_DOMAIN = re.compile(rf"(?:{_SURE_LABEL}\.)+{_TOP}\Z")
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+{_TOP}\Z")


class Taken(IntEnum):
    """Whether Klaviyo takes an address."""

    NEVER = 0
    MAYBE = 1
    """It is an address by the standards, of a kind that many services refuse."""
    SURELY = 2


def ascii_email(text: str) -> str:
    """Return an address with its domain as the network knows it: letters beyond ASCII become ``xn--``."""
    local, at, domain = text.rpartition("@")
    if domain.isascii():
        return text
    try:
        return f"{local}{at}{domain.encode('idna').decode()}"
    except UnicodeError:
        return text


def taken(text: str) -> Taken:
    """Say whether Klaviyo takes a text for an email address."""
    local, _, domain = text.rpartition("@")
    if len(text) > LONGEST_EMAIL or len(domain) > 253 or not (_LOCAL.match(local) and _DOMAIN.match(domain)):
        return Taken.NEVER
    is_plain = _SURE_LOCAL.match(local) and _SURE_DOMAIN.match(domain)
    return Taken.SURELY if is_plain and len(local) <= LONGEST_LOCAL else Taken.MAYBE
