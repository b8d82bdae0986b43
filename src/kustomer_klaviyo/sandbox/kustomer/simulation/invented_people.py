"""Invented people: their names, addresses under reserved domains, and phone numbers. Pure."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from kustomer_klaviyo.sandbox.kustomer.model.documents import Document

FIRST_NAMES = (
    "Ada", "Bo", "Cleo", "Dev", "Ines", "Femi", "Gus", "Hana", "Ivo", "Jun", "Kaja", "Leo", "Mina", "Nils", "Oda",
    "Pia", "Quin", "Rosa", "Sam", "Tove", "Uma", "Vera", "Wim", "Yara",
)  # fmt: skip
LAST_NAMES = (
    "Byrne", "Costa", "Dahl", "Eriksen", "Ferro", "Grant", "Hale", "Ito", "Jansen", "Kaur", "Lund", "Moreau", "Novak",
    "Okafor", "Petit", "Quist", "Rossi", "Silva",
)  # fmt: skip
DOMAINS = ("lanternpost.example", "marigold.example", "tidewater.example", "northbell.example")
COMPANIES = ("Lantern Post", "Marigold & Sons", "Tidewater Trading", "Northbell Studio")


@dataclass(frozen=True, slots=True)
class Home:
    """Where somebody may live, and what their mobile number begins with."""

    number: str
    digits: int
    """How many follow."""
    city: str
    region: str
    zip: str
    country: str
    country_code: str
    time_zone: str
    locale: str


HOMES = (
    Home("+447400", 6, "Leeds", "England", "LS1 4AP", "United Kingdom", "GB", "Europe/London", "en-GB"),
    Home("+49151", 8, "Bremen", "Bremen", "28195", "Germany", "DE", "Europe/Berlin", "de-DE"),
    Home("+33612", 6, "Nantes", "Pays de la Loire", "44000", "France", "FR", "Europe/Paris", "fr-FR"),
    Home("+1202456", 4, "Washington", "DC", "20001", "United States", "US", "America/New_York", "en-US"),
    Home("+34612", 6, "Murcia", "Murcia", "30001", "Spain", "ES", "Europe/Madrid", "es-ES"),
    Home("+61412", 6, "Hobart", "Tasmania", "7000", "Australia", "AU", "Australia/Hobart", "en-AU"),
)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who does not exist."""

    first_name: str
    last_name: str
    email: str
    phone: str
    home: Home


def invent(number: int, chance: random.Random, *, is_taken: Callable[[str], bool]) -> Person:
    """Invent a person whose address and number nobody has; ``number`` tells namesakes apart."""
    first, last, domain = chance.choice(FIRST_NAMES), chance.choice(LAST_NAMES), chance.choice(DOMAINS)
    email = f"{first}.{last}.{number}@{domain}".lower()
    while is_taken(email):
        email = f"the.other.{email}"
    home = chance.choice(HOMES)
    phone = _phone(home, chance)
    while is_taken(phone):
        home = chance.choice(HOMES)
        phone = _phone(home, chance)
    return Person(first, last, email, phone, home)


def furnished(person: Person, chance: random.Random) -> Document:
    """Return what else is known of a person: where they live, and the organisation's own attributes."""
    home, known = person.home, Document()
    if chance.random() < 0.7:
        known["locations"] = [
            {"type": "home", "cityName": home.city, "regionName": home.region, "zipCode": home.zip,
             "countryName": home.country, "countryCode": home.country_code}
        ]  # fmt: skip
        known |= {"timeZone": home.time_zone, "locale": home.locale}
    if chance.random() < 0.2:
        known["companyName"] = chance.choice(COMPANIES)
    custom: Document = {"loyaltyTierStr": chance.choice(("bronze", "silver", "gold"))}
    custom |= {"loyaltyPointsNum": chance.randrange(5000), "vipBool": chance.random() < 0.1}
    if chance.random() < 0.5:
        custom["memberSinceAt"] = f"20{chance.randrange(15, 25)}-0{chance.randrange(1, 9)}-11T00:00:00.000Z"
    return known | {"custom": custom}


def _phone(home: Home, chance: random.Random) -> str:
    return f"{home.number}{chance.randrange(10**home.digits):0{home.digits}d}"
