"""The headers that every answer has, whoever makes it: a page, the webhook, a file, an error, the server itself."""

from collections.abc import Iterable

RawHeaders = list[tuple[bytes, bytes]]

PERMISSIONS = ("camera", "microphone", "geolocation", "payment", "usb", "serial", "display-capture")

NOSNIFF = (b"x-content-type-options", b"nosniff")

EVERYWHERE: RawHeaders = [
    NOSNIFF,
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", ", ".join(f"{name}=()" for name in PERMISSIONS).encode()),
    # A window that somebody else's script opened on an answer of ours is out of that script's reach.
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
NO_PAGE: RawHeaders = [
    (b"content-security-policy", b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
]
"""For answers that set no policy of their own: nothing may run in them, and nobody may frame them."""

WITH_CHARSET = (b"text/", b"application/json", b"application/problem+json", b"image/svg+xml", b"application/javascript")


def completed(headers: Iterable[tuple[bytes, bytes]], request_id: str) -> RawHeaders:
    """Add what every answer has and this one does not say itself; a text names one charset."""
    found = [
        (name.lower(), _with_charset(value) if name.lower() == b"content-type" else value) for name, value in headers
    ]
    said = {name for name, _ in found}
    wanted = EVERYWHERE if b"content-security-policy" in said else [*EVERYWHERE, *NO_PAGE]
    return [*found, *(one for one in wanted if one[0] not in said), (b"x-request-id", request_id.encode())]


def _with_charset(content_type: bytes) -> bytes:
    kind, *parameters = [part.strip() for part in content_type.split(b";")]
    kept = [one for one in parameters if not one.lower().startswith(b"charset=")]
    if kind.startswith(WITH_CHARSET):
        kept.append(b"charset=utf-8")
    return b"; ".join([kind, *kept])
