"""Which email addresses, identities and passwords are accepted, and how clients are grouped by network. Pure."""

import ipaddress
import re
import unicodedata

from kustomer_klaviyo.auth.sign_in_errors import (
    MAX_PASSWORD_LENGTH,
    MIN_PASSWORD_LENGTH,
    SignInError,
    SignInErrorCode,
)

MAX_EMAIL_LENGTH = 200
UNKNOWN_NETWORK = "elsewhere"
"""The network of a client whose address the proxy does not pass on."""

EMAIL_PATTERN = re.compile(r"[^@]+@[^\W_](?:[\w-]*\w)?(?:\.[^\W_](?:[\w-]*\w)?)*\Z")
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv6 addresses that contain an IPv4 address (RFC 6052)."""


def check_email(text: str) -> str:
    """Return an email address in the form in which it is stored. Raises SignInError."""
    email = unicodedata.normalize("NFKC", text).strip()
    if len(email) > MAX_EMAIL_LENGTH or not _is_visible(email) or not EMAIL_PATTERN.match(email):
        raise SignInError(SignInErrorCode.INVALID_EMAIL)
    return email


def check_identity(text: str) -> str:
    """Return the identity that an OpenID Connect provider sent, in the form in which it is stored. Raises SignInError.

    An identity that normalisation would change is rejected: it could be taken for another user's.
    """
    identity = text.strip()
    if not 0 < len(identity) <= MAX_EMAIL_LENGTH or not _is_visible(identity.replace(" ", "")):
        raise SignInError(SignInErrorCode.INVALID_IDENTITY)
    if unicodedata.normalize("NFKC", identity) != identity:
        raise SignInError(SignInErrorCode.AMBIGUOUS_IDENTITY)
    return identity


def _is_visible(text: str) -> bool:
    """Return whether a text has no spaces, control characters or direction marks."""
    return not any(unicodedata.category(character)[0] in "CZ" for character in text)


def check_new_password(password: str) -> None:
    """Raise SignInError unless a password is accepted."""
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in password):
        raise SignInError(SignInErrorCode.PASSWORD_CONTROL_CHARACTERS)
    if all(unicodedata.category(character)[0] in "CZ" for character in password):
        raise SignInError(SignInErrorCode.PASSWORD_BLANK)
    if len(password.strip()) < MIN_PASSWORD_LENGTH:
        raise SignInError(SignInErrorCode.PASSWORD_TOO_SHORT)
    if len(password) > MAX_PASSWORD_LENGTH:
        raise SignInError(SignInErrorCode.PASSWORD_TOO_LONG)


def client_network(address: str) -> str:
    """Return the network of a client's IP address. Failed sign-ins are counted by network.

    An IPv4 address is its own network, also when it is written as an IPv6 address. An IPv6 address belongs to its /64
    network, because a client usually controls all addresses of such a network.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return UNKNOWN_NETWORK
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    embedded = _embedded_ipv4(parsed)
    return str(embedded) if embedded else str(ipaddress.IPv6Network((parsed, 64), strict=False))


def _embedded_ipv4(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour
