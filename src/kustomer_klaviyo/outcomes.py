"""What a vendor's response means. A rejected request is a value, not an exception.

- Accepted: the vendor processed the request and responded in the documented form.
- Refused: the request itself is invalid; a retry would fail again.
- Throttled: a rate limit was hit; retry later.
- Unreachable: no usable response; retry later. The request may have been processed.
- Unreadable: like Unreachable, but something responded in a form that the vendor does not document.
- LockedOut: the credentials, the API address or the API revision do not work; an admin must act.

Vendor texts are cleaned when an outcome is created, because they go on into the database, logs and pages.
"""

from dataclasses import dataclass

from kustomer_klaviyo.cleaning import MAX_LENGTH, clean

MAX_ID_LENGTH = 200
MAX_POINTER_LENGTH = 500


class _VendorText:
    """Cleans the vendor's texts."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for name, max_length in VENDOR_TEXT_LIMITS.items():
            text = getattr(self, name, None)
            if isinstance(text, str):
                object.__setattr__(self, name, clean(text, max_length))


VENDOR_TEXT_LIMITS = {
    "detail": MAX_LENGTH,
    "note": MAX_LENGTH,
    "request_id": MAX_ID_LENGTH,
    "pointer": MAX_POINTER_LENGTH,
    "conflicting_id": MAX_ID_LENGTH,
}
"""The fields that hold a vendor's text, and how many characters are kept."""


@dataclass(frozen=True, slots=True)
class Accepted(_VendorText):
    """The vendor accepted the request."""

    status: int
    request_id: str | None = None
    body: bytes = b""
    note: str | None = None
    """What the vendor dropped although it accepted the request."""
    phone_dropped: bool = False
    """The vendor dropped the phone number."""


@dataclass(frozen=True, slots=True)
class Refused(_VendorText):
    """The vendor will never accept this request unchanged."""

    status: int
    detail: str
    """The vendor's error message."""
    request_id: str | None = None
    pointer: str | None = None
    """JSON pointer to the rejected part of the request body."""
    conflicting_id: str | None = None
    """The vendor's id of the conflicting resource, such as another profile with the same phone number."""
    pointers: tuple[str, ...] = ()
    """All JSON pointers of the response, including ``pointer``."""


@dataclass(frozen=True, slots=True)
class Throttled(_VendorText):
    """A rate limit was hit."""

    retry_after: float | None
    """Seconds to wait according to the vendor; None when it named none."""
    detail: str
    request_id: str | None = None
    status: int = 429


@dataclass(frozen=True, slots=True)
class Unreachable(_VendorText):
    """No response, or one that says nothing about the request. The request may have been processed."""

    detail: str
    status: int | None = None
    request_id: str | None = None
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Unreadable(Unreachable):
    """A response in an undocumented form. It never counts as empty or as accepted."""


@dataclass(frozen=True, slots=True)
class LockedOut(_VendorText):
    """The vendor denies access because of the key, its scope, the API revision or the form of every request."""

    status: int
    detail: str
    request_id: str | None = None


Outcome = Accepted | Refused | Throttled | Unreachable | LockedOut
