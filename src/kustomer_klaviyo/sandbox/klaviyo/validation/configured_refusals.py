"""Attributes that the account is configured to refuse. One response has an error for each refused attribute.

For refusals that Klaviyo does not document. Independent of HTTP.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from kustomer_klaviyo.sandbox.klaviyo.jsonapi_responses import KlaviyoRefusal, invalid
from kustomer_klaviyo.sandbox.klaviyo.validation.contact_rules import is_email
from kustomer_klaviyo.sandbox.klaviyo.validation.profile_rules import IDENTIFIERS, ProfileInput

PHONE = "phone_number"


class RefusedAttribute(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A refused attribute: with any value, or with one value only.

    ``attribute`` is a path below the resource's attributes, such as ``location/timezone``.
    """

    attribute: str
    resource: Literal["profile", "event"] = "profile"
    value: Any = msgspec.UNSET
    partial_failure: bool = False
    """A phone number is dropped when there is another identifier; the response has the partial-failure header."""
    detail: str = "Invalid value."


class ConfiguredRefusals:
    """The attributes that are refused now."""

    def __init__(self, *, strict_emails: bool = False) -> None:
        self._strict_emails = strict_emails
        self.refused_attributes: list[RefusedAttribute] = []

    def clear(self) -> None:
        """Remove the configured refusals."""
        self.refused_attributes.clear()

    def check(self, kind: Literal["profile", "event"], attributes: Mapping[str, Any], pointer: str) -> None:
        """Raise KlaviyoRefusal with an error for each refused attribute."""
        errors = list(self._errors(kind, attributes, pointer))
        if errors:
            errors[0].further = [refusal.error for refusal in errors[1:]]
            raise errors[0]

    def check_profile(self, profile: ProfileInput, pointer: str) -> None:
        """Check a profile's attributes; drop a phone number that is a partial failure. Raises KlaviyoRefusal."""
        self.check("profile", profile.raw_attributes, pointer)
        others = any(profile.attributes.get(name) for name in IDENTIFIERS if name != PHONE) or profile.id is not None
        is_partial_failure = any(
            refused.partial_failure and _matches(refused, "profile", profile.raw_attributes)
            for refused in self.refused_attributes
        )
        if is_partial_failure and others and profile.attributes.pop(PHONE, None) is not None:
            profile.dropped_phone = True

    def _errors(self, kind: str, attributes: Mapping[str, Any], pointer: str) -> Iterator[KlaviyoRefusal]:
        email = attributes.get("email")
        if self._strict_emails and kind == "profile" and isinstance(email, str) and not is_email(email, strict=True):
            yield invalid("Invalid email address", f"{pointer}/email")
        for refused in self.refused_attributes:
            if not refused.partial_failure and _matches(refused, kind, attributes):
                yield invalid(refused.detail, f"{pointer}/{refused.attribute}")


def _matches(refused: RefusedAttribute, kind: str, attributes: Mapping[str, Any]) -> bool:
    value = _value_at(attributes, refused.attribute.split("/"))
    return refused.resource == kind and value is not None and refused.value in (msgspec.UNSET, value)


def _value_at(value: Any, path: Sequence[str]) -> Any:
    """Return the value at a path, or None. A name may itself contain slashes."""
    for position, name in enumerate(path):
        if not isinstance(value, dict):
            return None
        rest = "/".join(path[position:])
        if rest in value:
            return value[rest]
        value = value.get(name)
    return value
