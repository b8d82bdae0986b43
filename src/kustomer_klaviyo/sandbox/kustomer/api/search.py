"""``POST /v1/customers/search``: conditions over customers or conversations. Pure.

Rules: developer.kustomer.com/kustomer-api-docs/reference/search
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kustomer_klaviyo.sandbox.kustomer.api.search_operators import comparison, sort_key
from kustomer_klaviyo.sandbox.kustomer.envelope import Refusal, bad
from kustomer_klaviyo.sandbox.kustomer.model.documents import Document

Read = Callable[[Document], Any]
Condition = Callable[[Document], bool]


def _attribute(*path: str) -> Read:
    def read(resource: Document) -> Any:
        found: Any = resource["attributes"]
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        return found

    return read


def _each(name: str, part: str) -> Read:
    return lambda resource: [entry.get(part) for entry in resource["attributes"].get(name) or []]


def _id(resource: Document) -> Any:
    return resource["id"]


def _customer(resource: Document) -> Any:
    return resource["relationships"]["customer"]["data"]["id"]


_SURVEY = {
    f"conversation_satisfaction_{field}": _attribute("satisfactionLevel", name)
    for field, name in (
        ("status", "status"), ("score", "score"), ("rating", "rating"), ("created_at", "createdAt"),
        ("updated_at", "updatedAt"), ("sent_at", "sentAt"), ("survey_id", "form"), ("sent_by", "sentBy"),
    )
}  # fmt: skip

FIELDS: dict[str, dict[str, Read]] = {
    "customer": {
        "customer_id": _id,
        "customer_email": _each("emails", "email"),
        "customer_phone": _each("phones", "phone"),
        "customer_externalId": _attribute("externalId"),
        "customer_name": _attribute("name"),
        "customer_created_at": _attribute("createdAt"),
        "customer_updated_at": _attribute("updatedAt"),
        "customer_modified_at": _attribute("modifiedAt"),
        "customer_last_activity_at": _attribute("lastActivityAt"),
    },
    "conversation": {
        "conversation_id": _id,
        "conversation_customer_id": _customer,
        "conversation_name": _attribute("name"),
        "conversation_created_at": _attribute("createdAt"),
        "conversation_updated_at": _attribute("updatedAt"),
        "conversation_modified_at": _attribute("modifiedAt"),
        "conversation_status": _attribute("status"),
        "conversation_channels": _attribute("channels"),
        "conversation_spam": _attribute("spam"),
        "conversation_done_count": _attribute("doneCount"),
        "conversation_first_done_created_at": _attribute("firstDone", "createdAt"),
        "conversation_last_done_created_at": _attribute("lastDone", "createdAt"),
        **_SURVEY,
    },
}


def search(body: Document, held: Mapping[str, Iterable[Document]]) -> list[Document]:
    """Return what a search finds among the resources of each kind, sorted as asked. Raises Refusal."""
    context = body.get("queryContext", "customer")
    if not isinstance(context, str) or context not in FIELDS:
        raise bad("queryContext", f"queryContext must be one of {', '.join(FIELDS)}")
    fields = FIELDS[context]
    meets = _query(body, fields)
    shows_deleted = body.get("includeDeleted") is True
    found = [one for one in held[context] if (shows_deleted or not one["attributes"].get("deleted")) and meets(one)]
    for name, direction in reversed(_sorting(body)):
        read = _field(fields, name)
        found.sort(key=_sorted_by(read), reverse=direction == "desc")
    return found


def _sorted_by(read: Read) -> Callable[[Document], tuple[int, Any]]:
    return lambda resource: sort_key(read(resource))


def _query(body: Document, fields: Mapping[str, Read]) -> Condition:
    every, some, none = (_conditions(body, name, fields) for name in ("and", "or", "not"))

    def meets(resource: Document) -> bool:
        return (
            all(condition(resource) for condition in every)
            and (not some or any(condition(resource) for condition in some))
            and not any(condition(resource) for condition in none)
        )

    return meets


def _conditions(body: Document, name: str, fields: Mapping[str, Read]) -> list[Condition]:
    return [_condition(condition, fields) for condition in _objects(body, name)]


def _condition(condition: Document, fields: Mapping[str, Read]) -> Condition:
    """Read one condition: every comparison of every field in it must hold, or the conditions nested within it."""
    if condition.keys() & {"and", "or", "not"}:
        return _query(condition, fields)
    tests: list[Condition] = []
    for name, comparisons in condition.items():
        if not isinstance(comparisons, dict) or not comparisons:
            raise bad(name, 'A comparison must be an object such as {"equals": 1}')
        read = _field(fields, name)
        tests += [_test(read, comparison(name, operator, wanted)) for operator, wanted in comparisons.items()]
    return lambda resource: all(test(resource) for test in tests)


def _test(read: Read, holds: Callable[[Any], bool]) -> Condition:
    return lambda resource: holds(read(resource))


def _field(fields: Mapping[str, Read], name: str) -> Read:
    if name not in fields:
        raise bad(name, f"Unsupported field {name}")
    return fields[name]


def _sorting(body: Document) -> list[tuple[str, Any]]:
    return [pair for entry in _objects(body, "sort") for pair in entry.items()]


def _objects(body: Document, name: str) -> list[Document]:
    found = body.get(name, [])
    listed = found if isinstance(found, list) else [found]
    if not all(isinstance(entry, dict) for entry in listed):
        raise Refusal(400, "badparam", "Bad Parameter", parameter=name, detail=f"{name} must be a list of objects")
    return listed
