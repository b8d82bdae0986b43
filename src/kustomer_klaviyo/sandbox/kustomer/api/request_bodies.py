"""Parsing of the request bodies that write customers, conversations and surveys. Pure.

Unknown attributes are ignored.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from kustomer_klaviyo.sandbox.kustomer.model.documents import Document, format_time
from kustomer_klaviyo.sandbox.kustomer.responses import bad_parameter

Text = str | None
Texts = list[str]
Documents = list[Document]
Status = Literal["open", "snoozed", "done"]
SurveyStatus = Literal["canceled", "scheduled", "offered", "rated", "commented", "unresponded"]

CONTACT_LISTS = {
    "emails": ("email", "home"),
    "sharedEmails": ("email", "home"),
    "phones": ("phone", "mobile"),
    "sharedPhones": ("phone", "mobile"),
}
"""The lists of contacts, each with the key of the value within an entry and the default type of an entry."""

TIMES = ("createdAt", "importedAt", "birthdayAt", "signedUpAt")

_CUSTOMER_TEXTS = (
    "name", "firstName", "lastName", "displayName", "username", "companyName", "avatarUrl", "externalId", "locale",
    "timeZone", "defaultLang", "gender", *TIMES,
)  # fmt: skip
_CUSTOMER: Mapping[str, Any] = (
    dict.fromkeys(_CUSTOMER_TEXTS, Text)
    | dict.fromkeys((*CONTACT_LISTS, "whatsapps", "socials", "urls", "locations", "externalIds"), Documents)
    | {"tags": Texts, "custom": Document, "verified": bool}
)
_CONVERSATION: Mapping[str, Any] = (
    dict.fromkeys(("name", "externalId", "defaultLang", "locale", "createdAt", "importedAt"), Text)
    | dict.fromkeys(("tags", "assignedUsers", "assignedTeams"), Texts)
    | {"status": Status, "spam": bool, "custom": Document, "direction": Literal["in", "out"], "priority": int}
)


class Survey(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A survey result as third-party tools may write it to a conversation."""

    status: SurveyStatus
    created_at: str
    rating: int | float | None = None
    score: Literal[0, 1] | None = None


def parse_customer(body: Document) -> Document:
    """Return the customer attributes in a body. Raises KustomerRefusal (400)."""
    attributes = _parse(body, _CUSTOMER)
    for name, (value_key, kind) in CONTACT_LISTS.items():
        if name in attributes:
            attributes[name] = [_contact(name, entry, value_key, kind) for entry in attributes[name]]
    return attributes


def parse_conversation(body: Document) -> Document:
    """Return the conversation attributes in a body. Raises KustomerRefusal (400)."""
    return _parse(body, _CONVERSATION)


def parse_survey(level: Any) -> Document:
    """Return a third party's survey result. Raises KustomerRefusal (400)."""
    try:
        survey = msgspec.convert(level, Survey)
    except msgspec.ValidationError as error:
        raise bad_parameter("satisfactionLevel", str(error)) from error
    fields = {name: value for name, value in msgspec.to_builtins(survey).items() if value is not None}
    return fields | {"createdAt": _time("satisfactionLevel", survey.created_at)}


def _parse(body: Document, types: Mapping[str, Any]) -> Document:
    attributes: Document = {}
    for name in body.keys() & types.keys():
        try:
            attributes[name] = msgspec.convert(body[name], types[name])
        except msgspec.ValidationError as error:
            raise bad_parameter(name, str(error)) from error
        if name in TIMES and attributes[name] is not None:
            attributes[name] = _time(name, attributes[name])
    return attributes


def _contact(name: str, entry: Document, value_key: str, kind: str) -> Document:
    if not isinstance(entry.get(value_key), str) or not entry[value_key]:
        raise bad_parameter(name, f"each of {name} needs {value_key}")
    return {"type": kind, "verified": False} | entry


def _time(name: str, text: str) -> str:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise bad_parameter(name, f"{name} must be a time in ISO 8601") from error
    return format_time((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())
