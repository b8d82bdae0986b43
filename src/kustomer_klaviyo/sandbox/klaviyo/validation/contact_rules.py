"""Validation of email addresses and phone numbers, with rules that are independent of the product's.

Klaviyo documents only *valid, fewer than 100 characters* and *E.164*. Lengths of numbers by country:
itu.int/oth/T0202.aspx?parent=T0202 (national numbering plans).
"""

MAX_EMAIL_LENGTH = 99
MAX_PHONE_DIGITS = 15
"""Including the country code."""

ALPHANUMERIC = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
FORBIDDEN_IN_EMAIL = frozenset('"(),:;<>@[\\]')

NATIONAL_LENGTHS = {
    "1": (10, 10), "7": (10, 14), "20": (8, 10), "27": (5, 10), "30": (10, 12), "31": (5, 11), "32": (8, 9),
    "33": (9, 9), "34": (9, 9), "36": (8, 9), "39": (6, 12), "40": (6, 9), "41": (9, 12), "43": (4, 13),
    "44": (7, 10), "45": (8, 8), "46": (6, 12), "47": (5, 12), "48": (6, 10), "49": (4, 13), "51": (8, 9),
    "52": (10, 11), "54": (10, 11), "55": (8, 11), "56": (9, 11), "57": (8, 11), "60": (8, 10), "61": (5, 12),
    "62": (7, 13), "63": (6, 13), "64": (5, 10), "65": (8, 11), "66": (8, 13), "81": (8, 13), "82": (5, 13),
    "84": (7, 10), "86": (7, 12), "90": (7, 13), "91": (8, 13), "92": (8, 12), "94": (9, 9), "98": (4, 10),
    "351": (9, 9), "353": (7, 10), "354": (7, 9), "358": (5, 12), "370": (8, 8), "371": (8, 8), "372": (7, 10),
    "380": (9, 10), "420": (9, 12), "421": (6, 9), "852": (5, 12), "886": (7, 11), "971": (5, 12), "972": (7, 12),
}  # fmt: skip
"""Minimum and maximum number of digits after a country code."""

OTHER_CODES = frozenset(
    [
        *map(str, range(211, 214)), "216", "218", *map(str, range(220, 270)), "290", "291", "297", "298", "299",
        "350", "352", "355", "356", "357", "359", *map(str, range(373, 379)), "381", "382", "383", "385", "386", "387",
        "389", "423", *map(str, range(500, 510)), "53", "58", *map(str, range(590, 600)), "670",
        *map(str, range(672, 693)), "800", "808", "850", "853", "855", "856", "870", "878", "880", "881", "882", "883",
        "888", "93", "95", *map(str, range(960, 980)), *map(str, range(992, 997)), "998",
    ]
)  # fmt: skip
"""Other country and service codes; their numbers have at least three digits."""


def is_email(text: str, *, strict: bool = False) -> bool:
    """Return whether a text is an email address; ``strict`` rejects unusual but standard-conforming addresses."""
    local, at, domain = text.partition("@")
    if not at or not text.isprintable() or " " in text or len(text) > MAX_EMAIL_LENGTH:
        return False
    return _is_local(local, strict=strict) and _is_domain(domain, strict=strict)


def _is_local(local: str, *, strict: bool) -> bool:
    if local.startswith(".") or local.endswith(".") or ".." in local or FORBIDDEN_IN_EMAIL & set(local):
        return False
    return bool(local) and not (strict and (set(local) - ALPHANUMERIC - set("._+'-") or len(local) > 64))


def _is_domain(domain: str, *, strict: bool) -> bool:
    labels = domain.split(".")
    allowed = ALPHANUMERIC | ({"-"} if strict else {"-", "_"})
    for label in labels:
        if not 0 < len(label) < 64 or set(label) - allowed or label.startswith("-") or label.endswith("-"):
            return False
    return len(labels) > 1 and len(labels[-1]) > 1 and labels[-1][0] in ALPHANUMERIC and not labels[-1][0].isdigit()


def is_phone(phone: object) -> bool:
    """Return whether a value is an E.164 phone number of a valid length for its country."""
    if not isinstance(phone, str) or not phone.startswith("+"):
        return False
    number = phone[1:]
    if not (number.isascii() and number.isdigit()) or len(number) > MAX_PHONE_DIGITS:
        return False
    for size in (1, 2, 3):
        code, rest = number[:size], number[size:]
        if code in NATIONAL_LENGTHS:
            minimum, maximum = NATIONAL_LENGTHS[code]
            return minimum <= len(rest) <= maximum
        if code in OTHER_CODES:
            return len(rest) >= 3
    return False
