"""Fake people: names, addresses under reserved domains, phone numbers. Pure."""

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
class Residence:
    """A place to live, with its mobile phone numbers."""

    phone_prefix: str
    digits: int
    """Number of digits after the prefix."""
    city: str
    region: str
    zip: str
    country: str
    country_code: str
    time_zone: str
    locale: str


RESIDENCES = (
    Residence("+447400", 6, "Leeds", "England", "LS1 4AP", "United Kingdom", "GB", "Europe/London", "en-GB"),
    Residence("+49151", 8, "Bremen", "Bremen", "28195", "Germany", "DE", "Europe/Berlin", "de-DE"),
    Residence("+33612", 6, "Nantes", "Pays de la Loire", "44000", "France", "FR", "Europe/Paris", "fr-FR"),
    Residence("+1202456", 4, "Washington", "DC", "20001", "United States", "US", "America/New_York", "en-US"),
    Residence("+34612", 6, "Murcia", "Murcia", "30001", "Spain", "ES", "Europe/Madrid", "es-ES"),
    Residence("+61412", 6, "Hobart", "Tasmania", "7000", "Australia", "AU", "Australia/Hobart", "en-AU"),
)


@dataclass(frozen=True, slots=True)
class FakePerson:
    """A fake person."""

    first_name: str
    last_name: str
    email: str
    phone: str
    residence: Residence


def fake_person(number: int, rng: random.Random, *, is_taken: Callable[[str], bool]) -> FakePerson:
    """Make a person with an unused address and phone number; ``number`` makes the address distinct."""
    first, last, domain = rng.choice(FIRST_NAMES), rng.choice(LAST_NAMES), rng.choice(DOMAINS)
    email = f"{first}.{last}.{number}@{domain}".lower()
    while is_taken(email):
        email = f"the.other.{email}"
    residence = rng.choice(RESIDENCES)
    phone = _phone(residence, rng)
    while is_taken(phone):
        residence = rng.choice(RESIDENCES)
        phone = _phone(residence, rng)
    return FakePerson(first, last, email, phone, residence)


def profile_attributes(person: FakePerson, rng: random.Random) -> Document:
    """Return random attributes of a person's customer document: location, company, custom attributes."""
    residence, attributes = person.residence, Document()
    if rng.random() < 0.7:
        attributes["locations"] = [
            {"type": "home", "cityName": residence.city, "regionName": residence.region, "zipCode": residence.zip,
             "countryName": residence.country, "countryCode": residence.country_code}
        ]  # fmt: skip
        attributes |= {"timeZone": residence.time_zone, "locale": residence.locale}
    if rng.random() < 0.2:
        attributes["companyName"] = rng.choice(COMPANIES)
    custom: Document = {"loyaltyTierStr": rng.choice(("bronze", "silver", "gold"))}
    custom |= {"loyaltyPointsNum": rng.randrange(5000), "vipBool": rng.random() < 0.1}
    if rng.random() < 0.5:
        custom["memberSinceAt"] = f"20{rng.randrange(15, 25)}-0{rng.randrange(1, 9)}-11T00:00:00.000Z"
    return attributes | {"custom": custom}


def _phone(residence: Residence, rng: random.Random) -> str:
    return f"{residence.phone_prefix}{rng.randrange(10**residence.digits):0{residence.digits}d}"
