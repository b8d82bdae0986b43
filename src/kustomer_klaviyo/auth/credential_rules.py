"""What may be an address and a password of an account, and from which network somebody comes. Pure."""

import ipaddress
import re
import unicodedata

SHORTEST_PASSWORD, LONGEST_PASSWORD = 12, 500
LONGEST_EMAIL = 200
ELSEWHERE = "elsewhere"
"""Where somebody comes from whose proxy does not say."""

EMAIL = re.compile(r"[^@]+@[^\W_](?:[\w-]*\w)?(?:\.[^\W_](?:[\w-]*\w)?)*\Z")
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""Addresses of the older kind as networks of the newer kind write them (RFC 6052)."""


class BadCredential(ValueError):
    """An address or a password cannot be used; the text says why."""


def check_email(text: str) -> str:
    """Return an address as it is kept. Raises BadCredential."""
    email = unicodedata.normalize("NFKC", text).strip()
    if len(email) > LONGEST_EMAIL or not _is_plain(email) or not EMAIL.match(email):
        raise BadCredential("Enter your email address, such as ada@acme.com.")
    return email


def check_identity(text: str) -> str:
    """Return what a provider calls somebody, as it is kept. Raises BadCredential.

    A name written with look-alikes, which comparing would take for another's, is refused.
    """
    identity = text.strip()
    if not 0 < len(identity) <= LONGEST_EMAIL or not _is_plain(identity.replace(" ", "")):
        raise BadCredential("The sign-in provider's name for you cannot be used: it is too long or has odd characters.")
    if unicodedata.normalize("NFKC", identity) != identity:
        raise BadCredential("The sign-in provider's name for you is written with look-alikes of other characters.")
    return identity


def _is_plain(text: str) -> bool:
    """Say whether all of a name can be seen: no spaces, controls, marks of direction."""
    return not any(unicodedata.category(character)[0] in "CZ" for character in text)


def check_new_password(password: str) -> None:
    """Raise BadCredential unless a password may be used."""
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in password):
        raise BadCredential("A password cannot hold control characters.")
    if all(unicodedata.category(character)[0] in "CZ" for character in password):
        raise BadCredential("A password of white space is none.")
    if len(password.strip()) < SHORTEST_PASSWORD:
        raise BadCredential(f"A password needs at least {SHORTEST_PASSWORD} characters, without spaces around them.")
    if len(password) > LONGEST_PASSWORD:
        raise BadCredential(f"A password has at most {LONGEST_PASSWORD} characters.")


def network_of(client: str) -> str:
    """Return what counts as one place when tries are counted.

    An address of the older kind is itself, however the newer kind writes it. Of the newer kind it is a whole network,
    since whoever has one address there has them all.
    """
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return ELSEWHERE
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    inner = _embedded(address)
    return str(inner) if inner else str(ipaddress.IPv6Network((address, 64), strict=False))


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour
