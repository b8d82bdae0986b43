"""What may be written about customers and conversations: checked where it arrives. Pure.

Unknown attributes are left aside.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from kustomer_klaviyo.sandbox.kustomer.envelope import bad
from kustomer_klaviyo.sandbox.kustomer.model.documents import Document, moment

Text = str | None
Texts = list[str]
Documents = list[Document]
Status = Literal["open", "snoozed", "done"]
SurveyStatus = Literal["canceled", "scheduled", "offered", "rated", "commented", "unresponded"]

CONTACTS = {
    "emails": ("email", "home"),
    "sharedEmails": ("email", "home"),
    "phones": ("phone", "mobile"),
    "sharedPhones": ("phone", "mobile"),
}
"""The lists of contacts: the name of the value within an entry, and the type an entry has unless told."""

TIMES = ("createdAt", "importedAt", "birthdayAt", "signedUpAt")

_PERSON = (
    "name", "firstName", "lastName", "displayName", "username", "companyName", "avatarUrl", "externalId", "locale",
    "timeZone", "defaultLang", "gender", *TIMES,
)  # fmt: skip
_CUSTOMER: Mapping[str, Any] = (
    dict.fromkeys(_PERSON, Text)
    | dict.fromkeys((*CONTACTS, "whatsapps", "socials", "urls", "locations", "externalIds"), Documents)
    | {"tags": Texts, "custom": Document, "verified": bool}
)
_CONVERSATION: Mapping[str, Any] = (
    dict.fromkeys(("name", "externalId", "defaultLang", "locale", "createdAt", "importedAt"), Text)
    | dict.fromkeys(("tags", "assignedUsers", "assignedTeams"), Texts)
    | {"status": Status, "spam": bool, "custom": Document, "direction": Literal["in", "out"], "priority": int}
)


class Survey(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A survey as third-party tools may write it upon a conversation."""

    status: SurveyStatus
    created_at: str
    rating: int | float | None = None
    score: Literal[0, 1] | None = None


def given_customer(body: Document) -> Document:
    """Return the attributes of a customer that a body writes. Raises Refusal (400)."""
    attributes = _checked(body, _CUSTOMER)
    for name, (part, kind) in CONTACTS.items():
        if name in attributes:
            attributes[name] = [_contact(name, entry, part, kind) for entry in attributes[name]]
    return attributes


def given_conversation(body: Document) -> Document:
    """Return the attributes of a conversation that a body writes. Raises Refusal (400)."""
    return _checked(body, _CONVERSATION)


def given_survey(level: Any) -> Document:
    """Return a survey's level as written by a third party. Raises Refusal (400)."""
    try:
        survey = msgspec.convert(level, Survey)
    except msgspec.ValidationError as error:
        raise bad("satisfactionLevel", str(error)) from error
    written = {name: value for name, value in msgspec.to_builtins(survey).items() if value is not None}
    return written | {"createdAt": _time("satisfactionLevel", survey.created_at)}


def _checked(body: Document, kinds: Mapping[str, Any]) -> Document:
    attributes: Document = {}
    for name in body.keys() & kinds.keys():
        try:
            attributes[name] = msgspec.convert(body[name], kinds[name])
        except msgspec.ValidationError as error:
            raise bad(name, str(error)) from error
        if name in TIMES and attributes[name] is not None:
            attributes[name] = _time(name, attributes[name])
    return attributes


def _contact(name: str, entry: Document, part: str, kind: str) -> Document:
    if not isinstance(entry.get(part), str) or not entry[part]:
        raise bad(name, f"each of {name} needs {part}")
    return {"type": kind, "verified": False} | entry


def _time(name: str, text: str) -> str:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise bad(name, f"{name} must be a time in ISO 8601") from error
    return moment((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())
