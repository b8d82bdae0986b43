"""``POST /v1/customers/search``: queries over customers or conversations. Pure.

Rules: developer.kustomer.com/kustomer-api-docs/reference/search
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kustomer_klaviyo.sandbox.kustomer.api.search_operators import comparison, sort_key
from kustomer_klaviyo.sandbox.kustomer.model.documents import Document
from kustomer_klaviyo.sandbox.kustomer.responses import KustomerRefusal, bad_parameter

Read = Callable[[Document], Any]
Predicate = Callable[[Document], bool]


def _attribute(*path: str) -> Read:
    def read(resource: Document) -> Any:
        value: Any = resource["attributes"]
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return value

    return read


def _each(name: str, key: str) -> Read:
    return lambda resource: [entry.get(key) for entry in resource["attributes"].get(name) or []]


def _id(resource: Document) -> Any:
    return resource["id"]


def _customer(resource: Document) -> Any:
    return resource["relationships"]["customer"]["data"]["id"]


_SURVEY_FIELDS = {
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
        **_SURVEY_FIELDS,
    },
}


def search(body: Document, resources: Mapping[str, Iterable[Document]]) -> list[Document]:
    """Return the resources that match a search, in its order. Raises KustomerRefusal."""
    context = body.get("queryContext", "customer")
    if not isinstance(context, str) or context not in FIELDS:
        raise bad_parameter("queryContext", f"queryContext must be one of {', '.join(FIELDS)}")
    fields = FIELDS[context]
    matches = _query(body, fields)
    includes_deleted = body.get("includeDeleted") is True
    results = [
        resource
        for resource in resources[context]
        if (includes_deleted or not resource["attributes"].get("deleted")) and matches(resource)
    ]
    for name, direction in reversed(_sorting(body)):
        read = _field(fields, name)
        results.sort(key=_sort_key(read), reverse=direction == "desc")
    return results


def _sort_key(read: Read) -> Callable[[Document], tuple[int, Any]]:
    return lambda resource: sort_key(read(resource))


def _query(body: Document, fields: Mapping[str, Read]) -> Predicate:
    all_of, any_of, none_of = (_conditions(body, name, fields) for name in ("and", "or", "not"))

    def matches(resource: Document) -> bool:
        return (
            all(condition(resource) for condition in all_of)
            and (not any_of or any(condition(resource) for condition in any_of))
            and not any(condition(resource) for condition in none_of)
        )

    return matches


def _conditions(body: Document, name: str, fields: Mapping[str, Read]) -> list[Predicate]:
    return [_condition(condition, fields) for condition in _objects(body, name)]


def _condition(condition: Document, fields: Mapping[str, Read]) -> Predicate:
    """Parse one condition: all its comparisons must hold. It may instead contain a nested query."""
    if condition.keys() & {"and", "or", "not"}:
        return _query(condition, fields)
    predicates: list[Predicate] = []
    for name, comparisons in condition.items():
        if not isinstance(comparisons, dict) or not comparisons:
            raise bad_parameter(name, 'A comparison must be an object such as {"equals": 1}')
        read = _field(fields, name)
        predicates += [
            _predicate(read, comparison(name, operator, operand)) for operator, operand in comparisons.items()
        ]
    return lambda resource: all(predicate(resource) for predicate in predicates)


def _predicate(read: Read, holds: Callable[[Any], bool]) -> Predicate:
    return lambda resource: holds(read(resource))


def _field(fields: Mapping[str, Read], name: str) -> Read:
    if name not in fields:
        raise bad_parameter(name, f"Unsupported field {name}")
    return fields[name]


def _sorting(body: Document) -> list[tuple[str, Any]]:
    return [pair for entry in _objects(body, "sort") for pair in entry.items()]


def _objects(body: Document, name: str) -> list[Document]:
    value = body.get(name, [])
    objects = value if isinstance(value, list) else [value]
    if not all(isinstance(entry, dict) for entry in objects):
        raise KustomerRefusal(
            400, "badparam", "Bad Parameter", parameter=name, detail=f"{name} must be a list of objects"
        )
    return objects
