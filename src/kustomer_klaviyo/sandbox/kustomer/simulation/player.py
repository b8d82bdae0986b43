"""A support team's day, played as fast as asked for: the same for the same seed."""

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from kustomer_klaviyo.sandbox.kustomer.model.documents import Document
from kustomer_klaviyo.sandbox.kustomer.model.organisation import Organisation
from kustomer_klaviyo.sandbox.kustomer.model.support_team import Support
from kustomer_klaviyo.sandbox.kustomer.model.surveys import Surveys
from kustomer_klaviyo.sandbox.kustomer.simulation.invented_people import Person, furnished, invent
from kustomer_klaviyo.sandbox.kustomer.simulation.scenario import CHANNELS, RATINGS, Script, subject

ACTIONS_BETWEEN_BREATHS = 5
SWAMPED_SECONDS = 0.02

_ENDED = object()

Course = Iterator[None]
"""Yields after each action."""


@dataclass(slots=True)
class Progress:
    """How far the play has come, in customers and conversations."""

    of: int
    done: int = 0
    actions: int = 0
    running: bool = True


@dataclass(slots=True)
class Play:
    """One run of a script."""

    script: Script
    organisation: Organisation
    support: Support
    surveys: Surveys
    is_swamped: Callable[[], bool]
    """Whether webhooks are made faster than they leave, so that the play should pause."""
    progress: Progress = field(init=False)
    _chance: random.Random = field(init=False)
    _customers: list[Document] = field(default_factory=list)
    _nameless: list[tuple[Document, Person]] = field(default_factory=list)
    """Customers who turn out to be these people later."""

    def __post_init__(self) -> None:
        self._chance = random.Random(self.script.seed)
        self.progress = Progress(self.script.customers + self.script.conversations)

    async def run(self) -> None:
        """Play the script to its end."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            for _ in self._day():
                self.progress.actions += 1
                if self.script.rate > 0:
                    await asyncio.sleep(began + self.progress.actions / self.script.rate - loop.time())
                elif self.progress.actions % ACTIONS_BETWEEN_BREATHS == 0:
                    await asyncio.sleep(0)
                while self.is_swamped():
                    await asyncio.sleep(SWAMPED_SECONDS)
        finally:
            self.progress.running = False

    def _is(self, part: float) -> bool:
        return self._chance.random() < part

    def _day(self) -> Course:
        """Let the customers come, converse beside one another, and the nameless tell at last who they are."""
        for _ in range(self.script.customers):
            self._customers.append(self._add_customer())
            self.progress.done += 1
            yield
        yield from self._conversations()
        for customer, person in self._nameless:
            name = f"{person.first_name} {person.last_name}"
            self.organisation.change(customer, {"name": name, "emails": [_email(person.email, verified=True)]})
            yield

    def _conversations(self) -> Course:
        waiting, running = self.script.conversations, list[Course]()
        while running or waiting:
            while waiting and len(running) < self.script.at_once:
                running.append(self._conversation(self._chance.choice(self._customers)))
                waiting -= 1
            chosen = self._chance.randrange(len(running))
            if next(running[chosen], _ENDED) is _ENDED:
                running.pop(chosen)
                self.progress.done += 1
            else:
                yield

    def _add_customer(self) -> Document:
        org, script = self.organisation, self.script
        person = invent(len(org.customers), self._chance, is_taken=self._is_taken)
        kind = self._chance.random()
        if kind < script.without_contact:
            customer = org.add_customer({})
            self._nameless.append((customer, person))
            return customer
        given: Document = {"firstName": person.first_name, "lastName": person.last_name}
        given |= furnished(person, self._chance)
        given["phones"] = [{"type": "mobile", "phone": person.phone, "verified": False}]
        if kind >= script.without_contact + script.without_email:
            given["emails"] = self._emails(person)
        if self._is(script.shared):
            given["sharedEmails"] = [_email(f"the.{person.last_name.lower()}s@lanternpost.example", verified=True)]
        return org.add_customer(given)

    def _is_taken(self, contact: str) -> bool:
        return any(self.organisation.owner(listed, contact) for listed in ("emails", "phones"))

    def _emails(self, person: Person) -> list[Document]:
        """Give some people a second address that is the verified one."""
        if self._is(self.script.second_email):
            return [_email(f"old.{person.email}", verified=False), _email(person.email, verified=True)]
        return [_email(person.email, verified=self._is(0.5))]

    def _conversation(self, customer: Document) -> Course:
        script, support = self.script, self.support
        conversation = self._open(customer)
        yield
        if self._is(script.spam):
            support.mark_spam(conversation, spam=True)
            yield
            return
        for turn in range(self._chance.randrange(1, 4)):
            support.write(conversation, by_customer=turn % 2 == 1)
            yield
        if self._is(script.left_open):
            return
        support.mark_done(conversation)
        yield
        if self._is(script.reopened):
            support.write(conversation, by_customer=True)
            yield
            support.mark_done(conversation)
            yield
        yield from self._asked(conversation)

    def _open(self, customer: Document) -> Document:
        channel = self._chance.choice(CHANNELS)
        given: Document = {"status": "done"} if self._is(self.script.created_done) else {}
        named = subject(channel, self._chance)
        if named is not None:
            given["name"] = named
        if self._is(self.script.imported):
            given["importedAt"] = self.organisation.now()
        brand = self._chance.choice(self.script.brands) if self.script.brands else None
        return self.support.open_conversation(customer, channel=channel, given=given, brand=brand)

    def _asked(self, conversation: Document) -> Course:
        """Ask how it was, at times twice."""
        answered = self._chance.random()
        if answered < self.script.rated:
            yield from self._survey(conversation)
            if self._is(self.script.surveyed_twice):
                yield from self._survey(conversation)
        elif answered < self.script.rated + self.script.unanswered:
            self.surveys.offer(conversation)
            yield

    def _survey(self, conversation: Document) -> Course:
        self.surveys.offer(conversation)
        yield
        self.surveys.rate(conversation, self._chance.choice(RATINGS))
        yield
        if self._is(self.script.commented):
            self.surveys.comment(conversation, "Thank you")
            yield


def _email(address: str, *, verified: bool) -> Document:
    return {"type": "home", "email": address, "verified": verified}
