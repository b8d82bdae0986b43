"""What a vendor's answer means to us. A refusal is a value, not an exception.

- Accepted: done, said in the form that is documented
- Refused: this request is wrong by itself and will be wrong again
- Throttled: too many requests; later
- Unreachable: no usable answer; later, and it may have worked
- Unreadable: the same, where something did answer, but not in words of the vendor's that we can read
- LockedOut: the credentials, the API address or the way we ask do not work; someone must act

A vendor's words are made clean as soon as they are in one of these: they go on into the database, logs and pages.
"""

from dataclasses import dataclass

from kustomer_klaviyo.cleaning import LONGEST, clean

LONGEST_ID = 200
LONGEST_POINTER = 500


class _Foreign:
    """Makes the vendor's words clean."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for name, most in FOREIGN.items():
            text = getattr(self, name, None)
            if isinstance(text, str):
                object.__setattr__(self, name, clean(text, most))


FOREIGN = {
    "detail": LONGEST,
    "note": LONGEST,
    "request_id": LONGEST_ID,
    "pointer": LONGEST_POINTER,
    "stands_in_the_way": LONGEST_ID,
}
"""The fields that hold a vendor's words, and how many characters of them are kept."""


@dataclass(frozen=True, slots=True)
class Accepted(_Foreign):
    """The vendor took the request."""

    status: int
    request_id: str | None = None
    body: bytes = b""
    note: str | None = None
    """What the vendor left out although it accepted, in words."""
    without_phone: bool = False
    """The vendor left the phone number out."""


@dataclass(frozen=True, slots=True)
class Refused(_Foreign):
    """The vendor will never take this request as it is."""

    status: int
    detail: str
    """The vendor's own words."""
    request_id: str | None = None
    pointer: str | None = None
    """Where in the request body the fault lies, as a JSON pointer."""
    stands_in_the_way: str | None = None
    """The vendor's id of what makes the request impossible, such as another profile with the same number."""
    pointers: tuple[str, ...] = ()
    """All places that the answer blames, the first among them."""


@dataclass(frozen=True, slots=True)
class Throttled(_Foreign):
    """A rate limit was met."""

    retry_after: float | None
    """Seconds the vendor asks us to wait; None when it did not say."""
    detail: str
    request_id: str | None = None
    status: int = 429


@dataclass(frozen=True, slots=True)
class Unreachable(_Foreign):
    """No answer, or one that says nothing about the request. It may or may not have been carried out."""

    detail: str
    status: int | None = None
    request_id: str | None = None
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Unreadable(Unreachable):
    """Something answered, but not in the documented form: never an empty answer, and never an acceptance."""


@dataclass(frozen=True, slots=True)
class LockedOut(_Foreign):
    """The vendor does not let us in: key, scope, API revision, or the way we ask it anything."""

    status: int
    detail: str
    request_id: str | None = None


Outcome = Accepted | Refused | Throttled | Unreachable | LockedOut
