"""``POST /v1/customers/search``: conditions over customers or conversations.

Rules: developer.kustomer.com/kustomer-api-docs/reference/search
"""

from collections.abc import Callable
from typing import Any

from kustomer_klaviyo.sandbox.kustomer.documents import Document
from kustomer_klaviyo.sandbox.kustomer.exchange import Refusal

Read = Callable[[Document], Any]


def _attribute(*path: str) -> Read:
    def read(resource: Document) -> Any:
        found: Any = resource["attributes"]
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        return found

    return read


def _each(name: str, part: str) -> Read:
    return lambda resource: [entry.get(part) for entry in resource["attributes"].get(name) or []]


FIELDS: dict[str, dict[str, Read]] = {
    "customer": {
        "customer_id": lambda resource: resource["id"],
        "customer_email": _each("emails", "email"),
        "customer_phone": _each("phones", "phone"),
        "customer_externalId": _attribute("externalId"),
        "customer_name": _attribute("name"),
        "customer_created_at": _attribute("createdAt"),
        "customer_updated_at": _attribute("updatedAt"),
        "customer_modified_at": _attribute("modifiedAt"),
    },
    "conversation": {
        "conversation_id": lambda resource: resource["id"],
        "conversation_created_at": _attribute("createdAt"),
        "conversation_updated_at": _attribute("updatedAt"),
        "conversation_status": _attribute("status"),
        "conversation_last_done_created_at": _attribute("lastDone", "createdAt"),
        "conversation_satisfaction_status": _attribute("satisfactionLevel", "status"),
        "conversation_satisfaction_score": _attribute("satisfactionLevel", "score"),
        "conversation_satisfaction_rating": _attribute("satisfactionLevel", "rating"),
        "conversation_satisfaction_created_at": _attribute("satisfactionLevel", "createdAt"),
    },
}


def search(body: Document, held: dict[str, list[Document]]) -> list[Document]:
    """Return what a search finds, sorted as asked. Raises Refusal."""
    context = body.get("queryContext", "customer")
    if context not in FIELDS:
        raise Refusal(400, "badparam", f"Unsupported queryContext {context!r}", parameter="queryContext")
    fields = FIELDS[context]
    found = [
        one
        for one in held[context]
        if (body.get("includeDeleted") is True or not one["attributes"].get("deleted")) and _meets(one, body, fields)
    ]
    for entry in reversed(_list(body, "sort")):
        for name, direction in entry.items():
            found.sort(key=_text_of(_field(fields, name)), reverse=direction == "desc")
    return found


def _text_of(read: Read) -> Callable[[Document], str]:
    return lambda resource: str(read(resource) or "")


def _meets(resource: Document, body: Document, fields: dict[str, Read]) -> bool:
    every = [_holds(resource, condition, fields) for condition in _list(body, "and")]
    some = [_holds(resource, condition, fields) for condition in _list(body, "or")]
    none = [_holds(resource, condition, fields) for condition in _list(body, "not")]
    return all(every) and (not some or any(some)) and not any(none)


def _holds(resource: Document, condition: Any, fields: dict[str, Read]) -> bool:
    if not isinstance(condition, dict):
        raise Refusal(400, "badparam", "A condition must be an object")
    return all(
        _compare(operator, _field(fields, name)(resource), wanted)
        for name, comparisons in condition.items()
        for operator, wanted in _pairs(comparisons)
    )


def _pairs(comparisons: Any) -> list[tuple[str, Any]]:
    if not isinstance(comparisons, dict):
        raise Refusal(400, "badparam", "A comparison must be an object")
    return list(comparisons.items())


def _compare(operator: str, found: Any, wanted: Any) -> bool:
    values = found if isinstance(found, list) else [found]
    present = [value for value in values if value not in (None, "")]
    match operator:
        case "set":
            return bool(present)
        case "not_set":
            return not present
        case "equals":
            return any(str(value).lower() == str(wanted).lower() for value in present)
        case "in":
            return any(value in wanted for value in present)
        case "contains":
            return any(str(wanted).lower() in str(value).lower() for value in present)
        case "gt":
            return any(str(value) > str(wanted) for value in present)
        case "gte":
            return any(str(value) >= str(wanted) for value in present)
        case "lt":
            return any(str(value) < str(wanted) for value in present)
        case "lte":
            return any(str(value) <= str(wanted) for value in present)
        case _:
            raise Refusal(400, "badparam", f"Unsupported operator {operator!r}")


def _field(fields: dict[str, Read], name: str) -> Read:
    if name not in fields:
        raise Refusal(400, "badparam", f"Unsupported field {name!r}", parameter=name)
    return fields[name]


def _list(body: Document, name: str) -> list[Any]:
    found = body.get(name, [])
    if isinstance(found, dict):
        return [found]
    if not isinstance(found, list):
        raise Refusal(400, "badparam", f"{name} must be a list", parameter=name)
    return found
