"""What the account refuses on order: named attributes, one answer blaming all of them that a request holds.

For what the real account may refuse and nobody has written down. Knows nothing of HTTP.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from kustomer_klaviyo.sandbox.klaviyo.envelope import Refusal, invalid
from kustomer_klaviyo.sandbox.klaviyo.validation.contact_rules import is_email
from kustomer_klaviyo.sandbox.klaviyo.validation.profile_rules import IDENTIFIERS, ProfileIn

PHONE = "phone_number"


class RefusedAttribute(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An attribute that is refused: any value of it, or one only.

    ``attribute`` is a path below the resource's attributes, such as ``location/timezone``.
    """

    attribute: str
    of: Literal["profile", "event"] = "profile"
    value: Any = msgspec.UNSET
    quietly: bool = False
    """A phone number beside another identifier is left out, and the answer's header says so."""
    detail: str = "Invalid value."


class Refusals:
    """The attributes refused now."""

    def __init__(self, *, strict_emails: bool = False) -> None:
        self._strict_emails = strict_emails
        self.ordered: list[RefusedAttribute] = []

    def clear(self) -> None:
        """Refuse nothing but by the rules."""
        self.ordered.clear()

    def check(self, kind: Literal["profile", "event"], attributes: Mapping[str, Any], pointer: str) -> None:
        """Raise Refusal, with an error for each attribute that is refused."""
        errors = list(self._errors(kind, attributes, pointer))
        if errors:
            errors[0].more = [one.error for one in errors[1:]]
            raise errors[0]

    def judge(self, profile: ProfileIn, pointer: str) -> None:
        """Raise Refusal for a profile as for any attributes; a number that is refused quietly is only left out."""
        self.check("profile", profile.given, pointer)
        others = any(profile.attributes.get(name) for name in IDENTIFIERS if name != PHONE) or profile.id is not None
        quiet = any(one.quietly and _is_met(one, "profile", profile.given) for one in self.ordered)
        if quiet and others and profile.attributes.pop(PHONE, None) is not None:
            profile.without_phone = True

    def _errors(self, kind: str, attributes: Mapping[str, Any], pointer: str) -> Iterator[Refusal]:
        email = attributes.get("email")
        if self._strict_emails and kind == "profile" and isinstance(email, str) and not is_email(email, strict=True):
            yield invalid("Invalid email address", f"{pointer}/email")
        for one in self.ordered:
            if not one.quietly and _is_met(one, kind, attributes):
                yield invalid(one.detail, f"{pointer}/{one.attribute}")


def _is_met(one: RefusedAttribute, kind: str, attributes: Mapping[str, Any]) -> bool:
    found = _at(attributes, one.attribute.split("/"))
    return one.of == kind and found is not None and one.value in (msgspec.UNSET, found)


def _at(found: Any, path: Sequence[str]) -> Any:
    """Return what stands below a path; None for nothing."""
    for position, name in enumerate(path):
        if not isinstance(found, dict):
            return None
        rest = "/".join(path[position:])
        if rest in found:
            return found[rest]
        found = found.get(name)
    return found
