"""A support team's day, played as fast as asked for: the same for the same seed."""

import asyncio
import random
from dataclasses import dataclass, field

import msgspec

from kustomer_klaviyo.sandbox.kustomer.actions import Support
from kustomer_klaviyo.sandbox.kustomer.documents import Document
from kustomer_klaviyo.sandbox.kustomer.organisation import Organisation

FIRST = [
    "Ada",
    "Bo",
    "Cleo",
    "Dev",
    "Ines",
    "Femi",
    "Gus",
    "Hana",
    "Ivo",
    "Jun",
    "Kaja",
    "Leo",
    "Mina",
    "Nils",
    "Oda",
    "Pia",
    "Quin",
    "Rosa",
    "Sam",
    "Tove",
    "Uma",
    "Vera",
    "Wim",
    "Yara",
]
LAST = [
    "Byrne",
    "Costa",
    "Dahl",
    "Eriksen",
    "Ferro",
    "Grant",
    "Hale",
    "Ito",
    "Jansen",
    "Kaur",
    "Lund",
    "Moreau",
    "Novak",
    "Okafor",
    "Petit",
    "Quist",
    "Rossi",
    "Silva",
]
DOMAINS = ("lanternpost.example", "marigold.example", "tidewater.example", "northbell.example")
SUBJECTS = (
    "Where is my order?", "Wrong size", "Return label", "Discount code does not work", "Change of address",
    "Item arrived damaged", "Refund status", "How do I wash this?", "Cancel my order", "Gift card balance",
)  # fmt: skip
CHANNELS = ("email", "email", "email", "chat", "chat", "sms", "whatsapp", "voice")
ACTIONS_BETWEEN_BREATHS = 20


class Script(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How much is to be played, how fast, and how the traffic is mixed (parts from 0 to 1)."""

    customers: int = 20
    conversations: int = 50
    rate: float = 0.0
    """Actions per second; 0 is as fast as possible."""
    seed: int = 1
    without_email: float = 0.1
    without_contact: float = 0.05
    reopened: float = 0.2
    created_done: float = 0.05
    rated: float = 0.5
    commented: float = 0.4
    surveyed_twice: float = 0.1
    spam: float = 0.03
    left_open: float = 0.1


@dataclass(slots=True)
class Progress:
    """How far the play has come."""

    of: int
    done: int = 0
    running: bool = True


@dataclass(slots=True)
class Play:
    """One run of a script."""

    script: Script
    organisation: Organisation
    support: Support
    progress: Progress = field(init=False)
    _chance: random.Random = field(init=False)
    _nameless: list[tuple[Document, str]] = field(default_factory=list)
    """Customers who get this email address later."""
    _actions: int = 0

    def __post_init__(self) -> None:
        self._chance = random.Random(self.script.seed)
        self.progress = Progress(self.script.customers + self.script.conversations)

    async def run(self) -> None:
        """Play the script to its end."""
        try:
            customers = []
            for number in range(self.script.customers):
                customers.append(self._add_customer(number))
                await self._pause()
                self.progress.done += 1
            for _ in range(self.script.conversations):
                await self._converse(self._chance.choice(customers))
                self.progress.done += 1
            for customer, email in self._nameless:
                self.organisation.change(customer, {"emails": [_email(email, verified=True)]})
                await self._pause()
        finally:
            self.progress.running = False

    async def _pause(self) -> None:
        """Pause after an action: for the rate, or only so that others come to their turn."""
        self._actions += 1
        if self.script.rate > 0:
            await asyncio.sleep(1 / self.script.rate)
        elif self._actions % ACTIONS_BETWEEN_BREATHS == 0:
            await asyncio.sleep(0)

    def _is(self, part: float) -> bool:
        return self._chance.random() < part

    def _add_customer(self, number: int) -> Document:
        first, last = self._chance.choice(FIRST), self._chance.choice(LAST)
        address = f"{first}.{last}.{self.script.seed}.{number}@{self._chance.choice(DOMAINS)}".lower()
        given: Document = {"name": f"{first} {last}", "firstName": first, "lastName": last}
        phone = f"+4479{self._chance.randrange(10**8):08d}"
        kind = self._chance.random()
        if kind < self.script.without_contact:
            customer = self.organisation.add_customer({})
            self._nameless.append((customer, address))
            return customer
        given["phones"] = [{"type": "mobile", "phone": phone, "verified": False}]
        if kind >= self.script.without_contact + self.script.without_email:
            given["emails"] = self._emails(address)
        return self.organisation.add_customer(given)

    def _emails(self, address: str) -> list[Document]:
        """Give some people a second address that is the verified one."""
        if self._is(0.1):
            return [_email(f"old.{address}", verified=False), _email(address, verified=True)]
        return [_email(address, verified=self._is(0.5))]

    async def _converse(self, customer: Document) -> None:
        script, support = self.script, self.support
        channel, subject = self._chance.choice(CHANNELS), self._chance.choice(SUBJECTS)
        given = {"status": "done"} if self._is(script.created_done) else {}
        conversation = support.open_conversation(customer, subject=subject, channel=channel, given=given)
        await self._pause()
        if self._is(script.spam):
            support.mark_spam(conversation, spam=True)
            await self._pause()
            return
        for turn in range(self._chance.randrange(1, 4)):
            support.write(conversation, by_customer=turn % 2 == 1)
            await self._pause()
        if self._is(script.left_open):
            return
        support.mark_done(conversation)
        await self._pause()
        if self._is(script.reopened):
            support.write(conversation, by_customer=True)
            await self._pause()
            support.mark_done(conversation)
            await self._pause()
        if self._is(script.rated):
            await self._survey(conversation)
            if self._is(script.surveyed_twice):
                await self._survey(conversation)

    async def _survey(self, conversation: Document) -> None:
        self.support.offer_survey(conversation)
        await self._pause()
        self.support.rate(conversation, self._chance.choice((1, 2, 3, 4, 5, 5)))
        await self._pause()
        if self._is(self.script.commented):
            self.support.comment(conversation, "Thank you")
            await self._pause()


def _email(address: str, *, verified: bool) -> Document:
    return {"type": "home", "email": address, "verified": verified}
