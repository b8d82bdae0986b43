"""Reads what somebody entered into a form of ours."""

import unicodedata
from urllib.parse import parse_qsl

from litestar.exceptions import ClientException, HTTPException

from kustomer_klaviyo.web.console.pages import Asked

KIND = "application/x-www-form-urlencoded"
MOST_FIELDS = 50


async def read_form(request: Asked) -> dict[str, str]:
    """Return the fields of a form; of two with one name the last. Raises an HTTPException that says what is wrong.

    Only what browsers make of our own forms is read: no files, one encoding, no control characters.
    """
    form: dict[str, str] | None = request.state.get("form")
    if form is None:
        form = request.state.form = _parse(await request.body(), request.headers.get("content-type", ""))
    return form


def _parse(body: bytes, content_type: str) -> dict[str, str]:
    if not body:
        return {}
    if content_type.partition(";")[0].strip().lower() != KIND:
        raise HTTPException(status_code=415, detail="Forms are sent as application/x-www-form-urlencoded.")
    try:
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS))
    except ValueError as error:
        raise ClientException("The form cannot be read: it has too many fields, or is not UTF-8.") from error
    for name, value in fields.items():
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in name + value):
            raise ClientException("The form holds control characters, which no field takes.")
    return fields
