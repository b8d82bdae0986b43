"""Reads submitted forms."""

import unicodedata
from urllib.parse import parse_qsl

from litestar.exceptions import ClientException, HTTPException

from kustomer_klaviyo.web.console.rendering import PageRequest

FORM_CONTENT_TYPE = "application/x-www-form-urlencoded"
MAX_FIELDS = 50


async def read_form(request: PageRequest) -> dict[str, str]:
    """Return the fields of a form; of fields with the same name the last. Raises HTTPException if it is invalid.

    Only what browsers send for the console's forms is accepted: no files, UTF-8, no control characters.
    """
    form: dict[str, str] | None = request.state.get("form")
    if form is None:
        form = request.state.form = _parse(await request.body(), request.headers.get("content-type", ""))
    return form


def _parse(body: bytes, content_type: str) -> dict[str, str]:
    if not body:
        return {}
    if content_type.partition(";")[0].strip().lower() != FORM_CONTENT_TYPE:
        raise HTTPException(status_code=415, detail=f"Forms must be sent as {FORM_CONTENT_TYPE}.")
    try:
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS))
    except ValueError as error:
        raise ClientException("The form is invalid: it has too many fields, or is not UTF-8.") from error
    for name, value in fields.items():
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in name + value):
            raise ClientException("The form contains control characters, which no field accepts.")
    return fields
