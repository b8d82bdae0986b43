"""Reads the vendors' responses during set-up. Pure."""

from typing import Any

import msgspec

from kustomer_klaviyo.jsonapi import as_object
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome
from kustomer_klaviyo.setup.setup_error import SetupError, SetupErrorCode, VendorAction, describe


def accepted_json(outcome: Outcome, action: VendorAction) -> dict[str, Any]:
    """Return the JSON object of an accepted response. Raises SetupError otherwise."""
    return decode_json(accepted_body(outcome, action), action)


def accepted_body(outcome: Outcome, action: VendorAction) -> bytes:
    """Return the body of an accepted response. Raises SetupError with the vendor's words otherwise."""
    match outcome:
        case Accepted(body=body):
            return body
        case LockedOut(status=status, detail=detail):
            raise SetupError(SetupErrorCode.KEY_REJECTED, action=describe(action), status=status, detail=detail)
        case _:
            raise SetupError(SetupErrorCode.VENDOR_REFUSED, action=describe(action), detail=outcome.detail)


def decode_json(body: bytes, action: VendorAction) -> dict[str, Any]:
    """Return the JSON object of a body. Raises SetupError if something else than the API answered."""
    try:
        return as_object(msgspec.json.decode(body)) if body else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SetupError(SetupErrorCode.NOT_THE_API, action=describe(action)) from error
