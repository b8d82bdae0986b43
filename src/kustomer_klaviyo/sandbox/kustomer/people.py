"""Invented people: their names, addresses under reserved domains, and phone numbers. Pure."""

import random
from collections.abc import Callable
from dataclasses import dataclass

FIRST_NAMES = (
    "Ada", "Bo", "Cleo", "Dev", "Ines", "Femi", "Gus", "Hana", "Ivo", "Jun", "Kaja", "Leo", "Mina", "Nils", "Oda",
    "Pia", "Quin", "Rosa", "Sam", "Tove", "Uma", "Vera", "Wim", "Yara",
)  # fmt: skip
LAST_NAMES = (
    "Byrne", "Costa", "Dahl", "Eriksen", "Ferro", "Grant", "Hale", "Ito", "Jansen", "Kaur", "Lund", "Moreau", "Novak",
    "Okafor", "Petit", "Quist", "Rossi", "Silva",
)  # fmt: skip
DOMAINS = ("lanternpost.example", "marigold.example", "tidewater.example", "northbell.example")
MOBILE_NUMBERS = (("+447400", 6), ("+49151", 8), ("+33612", 6), ("+1202456", 4), ("+34612", 6), ("+61412", 6))
"""Beginnings of mobile numbers, and how many digits follow."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who does not exist."""

    first_name: str
    last_name: str
    email: str
    phone: str


def invent(number: int, chance: random.Random, *, is_taken: Callable[[str], bool]) -> Person:
    """Invent a person whose address and number nobody has; ``number`` tells namesakes apart."""
    first, last, domain = chance.choice(FIRST_NAMES), chance.choice(LAST_NAMES), chance.choice(DOMAINS)
    email = f"{first}.{last}.{number}@{domain}".lower()
    while is_taken(email):
        email = f"the.other.{email}"
    phone = _phone(chance)
    while is_taken(phone):
        phone = _phone(chance)
    return Person(first, last, email, phone)


def _phone(chance: random.Random) -> str:
    beginning, digits = chance.choice(MOBILE_NUMBERS)
    return f"{beginning}{chance.randrange(10**digits):0{digits}d}"
