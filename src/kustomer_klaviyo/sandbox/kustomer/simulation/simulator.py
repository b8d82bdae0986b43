"""Simulated traffic of a support team, reproducible by its seed."""

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from kustomer_klaviyo.sandbox.kustomer.model.documents import Document
from kustomer_klaviyo.sandbox.kustomer.model.organisation import Organisation
from kustomer_klaviyo.sandbox.kustomer.model.sample_texts import subject
from kustomer_klaviyo.sandbox.kustomer.model.satisfaction_surveys import Surveys
from kustomer_klaviyo.sandbox.kustomer.model.support_team import SupportTeam
from kustomer_klaviyo.sandbox.kustomer.simulation.fake_people import FakePerson, fake_person, profile_attributes
from kustomer_klaviyo.sandbox.kustomer.simulation.scenario import Scenario

ACTIONS_PER_YIELD = 5
"""The event loop runs other tasks after this many actions."""
OVERLOAD_PAUSE_SECONDS = 0.02
CHANNELS = ("email", "email", "email", "chat", "chat", "sms", "whatsapp", "voice")
RATINGS = (1, 2, 3, 4, 5, 5)

_END = object()

Steps = Iterator[None]
"""Yields after each action."""


@dataclass(slots=True)
class Progress:
    """Progress of a simulation, in customers and conversations."""

    total: int
    completed: int = 0
    actions: int = 0
    running: bool = True


@dataclass(slots=True)
class Simulation:
    """One run of a scenario."""

    scenario: Scenario
    organisation: Organisation
    team: SupportTeam
    surveys: Surveys
    is_overloaded: Callable[[], bool]
    """Whether webhooks are created faster than they are sent, so that the simulation has to pause."""
    progress: Progress = field(init=False)
    _rng: random.Random = field(init=False)
    _customers: list[Document] = field(default_factory=list)
    _unidentified: list[tuple[Document, FakePerson]] = field(default_factory=list)
    """Customers without a contact, and the people that they are identified as at the end."""

    def __post_init__(self) -> None:
        self._rng = random.Random(self.scenario.seed)
        self.progress = Progress(self.scenario.customers + self.scenario.conversations)

    async def run(self) -> None:
        """Run the scenario to its end."""
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        try:
            for _ in self._all_steps():
                self.progress.actions += 1
                if self.scenario.rate > 0:
                    await asyncio.sleep(started_at + self.progress.actions / self.scenario.rate - loop.time())
                elif self.progress.actions % ACTIONS_PER_YIELD == 0:
                    await asyncio.sleep(0)
                while self.is_overloaded():
                    await asyncio.sleep(OVERLOAD_PAUSE_SECONDS)
        finally:
            self.progress.running = False

    def _is_chosen(self, share: float) -> bool:
        return self._rng.random() < share

    def _all_steps(self) -> Steps:
        """Add the customers, run their conversations concurrently, then identify customers without a contact."""
        for _ in range(self.scenario.customers):
            self._customers.append(self._add_customer())
            self.progress.completed += 1
            yield
        yield from self._conversations()
        for customer, person in self._unidentified:
            name = f"{person.first_name} {person.last_name}"
            self.organisation.update(customer, {"name": name, "emails": [_email(person.email, verified=True)]})
            yield

    def _conversations(self) -> Steps:
        remaining, running = self.scenario.conversations, list[Steps]()
        while running or remaining:
            while remaining and len(running) < self.scenario.concurrency:
                running.append(self._conversation(self._rng.choice(self._customers)))
                remaining -= 1
            index = self._rng.randrange(len(running))
            if next(running[index], _END) is _END:
                running.pop(index)
                self.progress.completed += 1
            else:
                yield

    def _add_customer(self) -> Document:
        org, scenario = self.organisation, self.scenario
        person = fake_person(len(org.customers), self._rng, is_taken=self._is_taken)
        draw = self._rng.random()
        if draw < scenario.without_contact:
            customer = org.add_customer({})
            self._unidentified.append((customer, person))
            return customer
        fields: Document = {"firstName": person.first_name, "lastName": person.last_name}
        fields |= profile_attributes(person, self._rng)
        fields["phones"] = [{"type": "mobile", "phone": person.phone, "verified": False}]
        if draw >= scenario.without_contact + scenario.without_email:
            fields["emails"] = self._emails(person)
        if self._is_chosen(scenario.shared_email):
            household = f"the.{person.last_name.lower()}s@lanternpost.example"
            fields["sharedEmails"] = [_email(household, verified=True)]
        return org.add_customer(fields)

    def _is_taken(self, contact: str) -> bool:
        return any(self.organisation.owner(list_name, contact) for list_name in ("emails", "phones"))

    def _emails(self, person: FakePerson) -> list[Document]:
        """Return one address, or two of which the second is verified."""
        if self._is_chosen(self.scenario.second_email):
            return [_email(f"old.{person.email}", verified=False), _email(person.email, verified=True)]
        return [_email(person.email, verified=self._is_chosen(0.5))]

    def _conversation(self, customer: Document) -> Steps:
        scenario, team = self.scenario, self.team
        conversation = self._open_conversation(customer)
        yield
        if self._is_chosen(scenario.spam):
            team.mark_spam(conversation, spam=True)
            yield
            return
        for index in range(self._rng.randrange(1, 4)):
            team.send_message(conversation, by_customer=index % 2 == 1)
            yield
        if self._is_chosen(scenario.left_open):
            return
        team.mark_done(conversation)
        yield
        if self._is_chosen(scenario.reopened):
            team.send_message(conversation, by_customer=True)
            yield
            team.mark_done(conversation)
            yield
        yield from self._survey_steps(conversation)

    def _open_conversation(self, customer: Document) -> Document:
        channel = self._rng.choice(CHANNELS)
        fields: Document = {"status": "done"} if self._is_chosen(self.scenario.created_done) else {}
        name = subject(channel, self._rng)
        if name is not None:
            fields["name"] = name
        if self._is_chosen(self.scenario.imported):
            fields["importedAt"] = self.organisation.now()
        brand = self._rng.choice(self.scenario.brands) if self.scenario.brands else None
        return self.team.open_conversation(customer, channel=channel, fields=fields, brand=brand)

    def _survey_steps(self, conversation: Document) -> Steps:
        """Send a survey, sometimes two."""
        draw = self._rng.random()
        if draw < self.scenario.rated:
            yield from self._rated_survey(conversation)
            if self._is_chosen(self.scenario.surveyed_twice):
                yield from self._rated_survey(conversation)
        elif draw < self.scenario.rated + self.scenario.unanswered:
            self.surveys.offer(conversation)
            yield

    def _rated_survey(self, conversation: Document) -> Steps:
        self.surveys.offer(conversation)
        yield
        self.surveys.rate(conversation, self._rng.choice(RATINGS))
        yield
        if self._is_chosen(self.scenario.commented):
            self.surveys.comment(conversation, "Thank you")
            yield


def _email(address: str, *, verified: bool) -> Document:
    return {"type": "home", "email": address, "verified": verified}
