"""Which email addresses Klaviyo accepts. Pure.

Klaviyo says no more than *valid, fewer than 100 characters* (developers.klaviyo.com/en/reference/events_api_overview),
so an address is classified as supported, uncertain or unsupported.
"""

import re
from enum import IntEnum

MAX_EMAIL_LENGTH = 99
MAX_LOCAL_PART_LENGTH = 64
"""Octets (RFC 5321, 4.5.3.1.1)."""

_SIMPLE_ATOM = r"[A-Za-z0-9_](?:[A-Za-z0-9_+'-]*[A-Za-z0-9_])?"
_SIMPLE_LOCAL_PART = re.compile(rf"{_SIMPLE_ATOM}(?:\.{_SIMPLE_ATOM})*\Z")
_LOCAL_PART = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*\Z")
"""The dot-atom of RFC 5322 with the letters of RFC 6531. Quoted local parts are not supported."""

_SIMPLE_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_TOP_LEVEL_DOMAIN = r"(?:[A-Za-z]{2,63}|[Xx][Nn]--[A-Za-z0-9-]{0,58}[A-Za-z0-9])"
_SIMPLE_DOMAIN = re.compile(rf"(?:{_SIMPLE_LABEL}\.)+{_TOP_LEVEL_DOMAIN}\Z")
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+{_TOP_LEVEL_DOMAIN}\Z")


class EmailSupport(IntEnum):
    """Whether Klaviyo accepts an address."""

    UNSUPPORTED = 0
    UNCERTAIN = 1
    """A valid address of a form that many services reject."""
    SUPPORTED = 2


def ascii_email(text: str) -> str:
    """Return an address with its domain in ASCII: other letters are encoded as ``xn--``."""
    local, at, domain = text.rpartition("@")
    if domain.isascii():
        return text
    try:
        return f"{local}{at}{domain.encode('idna').decode()}"
    except UnicodeError:
        return text


def email_support(text: str) -> EmailSupport:
    """Classify a text as an email address."""
    local, _, domain = text.rpartition("@")
    if len(text) > MAX_EMAIL_LENGTH or len(domain) > 253 or not (_LOCAL_PART.match(local) and _DOMAIN.match(domain)):
        return EmailSupport.UNSUPPORTED
    is_simple = _SIMPLE_LOCAL_PART.match(local) and _SIMPLE_DOMAIN.match(domain)
    return EmailSupport.SUPPORTED if is_simple and len(local) <= MAX_LOCAL_PART_LENGTH else EmailSupport.UNCERTAIN
