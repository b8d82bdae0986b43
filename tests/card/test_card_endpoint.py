"""What the card's endpoint answers to whom, between real processes."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from desktop import KNOWN, customer
from stage import Stage, own_database, own_directory, staged

NOBODY = "0" * 24
NUMBERS = itertools.count()
SAID_TO_STRANGERS = {"error": "no such connection, or this is not its card's secret"}
IS_FRESH = """
SELECT FROM insights WHERE connection_id = 'sandbox' AND customer_id = %s AND fresh_until > now() AND wish IS NULL
"""
GROW_OLD = """
UPDATE insights SET fresh_until = now() WHERE connection_id = 'sandbox' AND customer_id = %s RETURNING customer_id
"""


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Any
    body: Any

    @property
    def card(self) -> dict[str, Any]:
        """The card that an accepted request brings."""
        assert self.status == 200, self.body
        found: dict[str, Any] = self.body["card"]
        return found


@dataclass
class Endpoint:
    """The card's endpoint, asked as Kustomer's servers ask it."""

    stage: Stage
    database_url: str

    async def ask(
        self, customer_id: str = NOBODY, *, secret: str | None = None, connection: str = "sandbox", **more: Any
    ) -> Answer:
        """Ask for a card; with the secret that Kustomer holds, unless told otherwise."""
        headers = {"Authorization": f"Bearer {await self.secret() if secret is None else secret}"}
        url = f"{self.stage.service}/card/{connection}/customers/{customer_id}"
        asked = {"headers": headers, "json": {}} | more
        # A connection that was idle for long may end at the moment it is used again.
        asked["headers"] = asked["headers"] | {"Connection": "close"}
        async with self.stage.session.post(url, **asked) as response:
            is_json = response.content_type == "application/json"
            return Answer(response.status, response.headers, await response.json() if is_json else None)

    async def connect(self, connection: str) -> None:
        """Make a connection with its card."""
        stage = self.stage
        urls = ("--public-url", stage.service, "--kustomer-url", stage.kustomer, "--klaviyo-url", stage.klaviyo)
        await stage.run("connect", "sandbox", "--connection", connection, *urls)
        await stage.run("app", "install", "--connection", connection, "--public-url", stage.service)
        await self.until_opened_by(await self.secret(connection), connection)

    async def secret(self, connection: str = "sandbox") -> str:
        """Return the secret that Kustomer has for a connection."""
        held = await self.stage.get(f"{self.stage.kustomer}/sandbox/secrets")
        return str(next(value for name, value in held.items() if f"_{connection}_" in name))

    async def opens(self, secret: str, connection: str = "sandbox") -> bool:
        return (await self.ask(secret=secret, connection=connection)).status == 200

    async def until_opened_by(self, secret: str, connection: str = "sandbox") -> None:
        """Wait until the service knows a secret."""
        await self.stage.until(lambda: self.opens(secret, connection), "the service knows the card's secret")

    async def comes_to(self, customer_id: str, face: str) -> dict[str, Any]:
        """Wait until a card has a face."""
        found: list[dict[str, Any]] = []

        async def has_it() -> bool:
            # Not so often that it is put off.
            await asyncio.sleep(0.2)
            found.append((await self.ask(customer_id)).card)
            return bool(found[-1]["face"] == face)

        await self.stage.until(has_it, f"the card is {face}")
        return found[-1]

    async def cards_read(self) -> int:
        """Return how often Klaviyo was asked for somebody's messages: once a card."""
        state = await self.stage.get(f"{self.stage.klaviyo}/sandbox/state")
        return int(state["requests"].get("get_events", 0))

    async def is_fresh(self, customer_id: str) -> bool:
        """Say whether a card is kept that is fresh, and no wish for another."""
        return bool(await self._rows(IS_FRESH, customer_id))

    async def grow_old(self, customer_id: str) -> None:
        """Let a card be older than it should be."""
        assert await self._rows(GROW_OLD, customer_id)

    async def _rows(self, query: Any, customer_id: str) -> list[Any]:
        async with await psycopg.AsyncConnection.connect(self.database_url, autocommit=True) as connection:
            return await (await connection.execute(query, (customer_id,))).fetchall()


@pytest.fixture(scope="module")
async def endpoint(postgres_url: str) -> AsyncIterator[Endpoint]:
    with own_directory() as directory, own_database(postgres_url) as url:
        async with staged(directory, database_url=url, marketing=True) as stage:
            await stage.serve()
            made = Endpoint(stage, url)
            await made.connect("sandbox")
            yield made


@pytest.fixture(scope="module")
async def cleo(endpoint: Endpoint) -> str:
    """A customer whom Klaviyo knows well."""
    made = await customer(endpoint.stage, email=KNOWN, phone="+12025550123", firstName="Cleo", lastName="Lantern")
    await endpoint.comes_to(made, "known")
    return made


@pytest.fixture
async def person(endpoint: Endpoint) -> str:
    """A customer whom Klaviyo knows, and whose card no other test opens."""
    made = await customer(endpoint.stage, email=f"person{next(NUMBERS)}@lanternpost.example")
    await endpoint.comes_to(made, "known")
    return made


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer"}, {"Authorization": "Bearer a guess"}, {"Authorization": "Basic {}"}, {"X": "{}"}],
)
async def test_without_the_secret_nothing_is_told(endpoint: Endpoint, cleo: str, headers: dict[str, str]) -> None:
    secret = await endpoint.secret()
    answer = await endpoint.ask(cleo, headers={name: value.format(secret) for name, value in headers.items()})
    assert (answer.status, answer.body) == (401, SAID_TO_STRANGERS)


async def test_a_stranger_does_not_learn_which_customers_or_connections_there_are(
    endpoint: Endpoint, cleo: str
) -> None:
    for asked in (cleo, NOBODY, "no-id"):
        for connection in ("sandbox", "nowhere"):
            answer = await endpoint.ask(asked, secret="a guess", connection=connection)
            assert (answer.status, answer.body) == (401, SAID_TO_STRANGERS)


@pytest.mark.parametrize("customer_id", ["x", "0" * 23, "0" * 25, "g" * 24, "A" * 24])
async def test_what_is_no_customers_id_is_refused(endpoint: Endpoint, customer_id: str) -> None:
    answer = await endpoint.ask(customer_id)
    assert answer.status == 400
    assert "24 hexadecimal digits" in answer.body["error"]


@pytest.mark.parametrize("customer_id", ["0" * 24 + "%0A", "%00" * 24])
async def test_an_id_of_control_characters_is_refused_before_it_is_looked_at(
    endpoint: Endpoint, customer_id: str
) -> None:
    assert (await endpoint.ask(customer_id)).status == 400


async def test_a_card_is_only_asked_for_by_post(endpoint: Endpoint, cleo: str) -> None:
    headers = {"Authorization": f"Bearer {await endpoint.secret()}"}
    url = f"{endpoint.stage.service}/card/sandbox/customers/{cleo}"
    async with endpoint.stage.session.get(url, headers=headers) as response:
        assert response.status == 405


async def test_nothing_but_the_address_says_whose_card_it_is(endpoint: Endpoint, cleo: str) -> None:
    answer = await endpoint.ask(cleo, json={"customer": NOBODY}, params={"customer": NOBODY})
    assert (answer.body["customer"], answer.card["person"]["name"]) == (cleo, "Cleo Lantern")


async def test_every_answer_is_json_that_nobody_keeps(endpoint: Endpoint, cleo: str) -> None:
    for answer in (await endpoint.ask(cleo), await endpoint.ask("x"), await endpoint.ask(cleo, secret="a guess")):
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Set-Cookie" not in answer.headers


async def test_a_customer_whom_kustomer_does_not_have_is_answered_in_so_many_words(endpoint: Endpoint) -> None:
    card = await endpoint.comes_to("f" * 24, "gone")
    assert card["says"] == "Kustomer no longer has this customer."
    assert (card["person"], card["campaigns"], card["lists"]) == (None, None, None)


async def test_a_card_holds_no_secret_and_nothing_of_a_conversation(endpoint: Endpoint, cleo: str) -> None:
    stage = endpoint.stage
    said = {"customer": cleo, "subject": "About my lantern-4711"}
    conversation = (await stage.send(f"{stage.kustomer}/sandbox/conversations", said))["id"]
    words = {"from": "customer", "text": "It glows lantern-4712"}
    await stage.send(f"{stage.kustomer}/sandbox/conversations/{conversation}/message", words)
    await stage.until(lambda: is_told_of(stage, conversation), "Klaviyo is told of the conversation")
    await endpoint.grow_old(cleo)
    await endpoint.ask(cleo)
    await stage.until(lambda: endpoint.is_fresh(cleo), "the card is fetched anew")
    answer = await endpoint.ask(cleo)
    assert answer.card["face"] == "known"
    secrets = (await stage.get(f"{stage.kustomer}/sandbox/secrets")).values()
    shown = f"{answer.body} {answer.headers}"
    assert not [one for one in (*secrets, KNOWN, "+12025550123", "4711", "4712") if one in shown]


async def is_told_of(stage: Stage, conversation: str) -> bool:
    return any(one["properties"].get("conversationId") == conversation for one in await stage.arrived())


async def test_one_customer_opened_again_and_again_is_put_off_and_others_are_not(
    endpoint: Endpoint, cleo: str, person: str
) -> None:
    secret = await endpoint.secret()
    answers = await asyncio.gather(*(endpoint.ask(person, secret=secret) for _ in range(70)))
    busy = [answer.card for answer in answers if answer.card["face"] == "busy"]
    assert 0 < len(busy) < 70
    for card in busy:
        assert (card["person"], card["campaigns"], card["fetched_at"]) == (None, None, None)
        assert card["refresh_after"] is not None
    assert (await endpoint.ask(cleo)).card["face"] == "known"


async def test_those_who_open_a_card_at_once_wait_for_one_fetch(endpoint: Endpoint) -> None:
    secret = await endpoint.secret()
    person = await customer(endpoint.stage, email="shared@lanternpost.example")
    before = await endpoint.cards_read()
    await endpoint.stage.misbehave(endpoint.stage.klaviyo, kind="slow", path="/api/profiles", delay=0.3, times=1)
    answers = await asyncio.gather(*(endpoint.ask(person, secret=secret) for _ in range(8)))
    assert {answer.status for answer in answers} == {200}
    await endpoint.comes_to(person, "known")
    assert await endpoint.cards_read() == before + 1


async def test_an_open_card_is_not_fetched_again_while_it_is_fresh(endpoint: Endpoint, person: str) -> None:
    await endpoint.stage.until(lambda: endpoint.is_fresh(person), "the card is fresh")
    before, card = await endpoint.cards_read(), (await endpoint.ask(person)).card
    again = (await endpoint.ask(person)).card
    assert (again["fetched_at"], again["refresh_after"]) == (card["fetched_at"], None)
    assert await endpoint.cards_read() == before


async def test_an_old_card_is_shown_at_once_and_fetched_anew_behind(endpoint: Endpoint, person: str) -> None:
    former = (await endpoint.ask(person)).card
    await endpoint.grow_old(person)
    shown = (await endpoint.ask(person)).card
    assert (shown["face"], shown["fetched_at"]) == ("known", former["fetched_at"])
    assert shown["refresh_after"] is not None
    await endpoint.stage.until(lambda: endpoint.is_fresh(person), "the card is fetched anew")
    assert (await endpoint.ask(person)).card["fetched_at"] > former["fetched_at"]


async def test_while_klaviyo_is_away_the_last_known_is_shown_with_its_age(endpoint: Endpoint, person: str) -> None:
    stage = endpoint.stage
    former = (await endpoint.ask(person)).card
    await stage.misbehave(stage.klaviyo, kind="status", path="/api/", status=503)
    await endpoint.grow_old(person)

    async def is_noted() -> bool:
        await asyncio.sleep(0.2)
        return "does not answer" in " ".join((await endpoint.ask(person)).card["notes"])

    await stage.until(is_noted, "the card says that Klaviyo is away")
    card = (await endpoint.ask(person)).card
    await stage.send(f"{stage.klaviyo}/sandbox/faults", method="DELETE")
    assert card["refresh_after"] is not None
    for name in ("face", "fetched_at", "person", "consents", "lists", "segments", "campaigns", "flows"):
        assert card[name] == former[name], name


async def test_a_new_conversation_brings_the_card_before_anybody_opens_it(endpoint: Endpoint) -> None:
    stage = endpoint.stage
    person = await customer(stage, email="early@lanternpost.example")
    begun = await stage.send(f"{stage.kustomer}/sandbox/conversations", {"customer": person, "subject": "Hello"})
    await stage.until(lambda: endpoint.is_fresh(person), "the card is there")
    before, card = await endpoint.cards_read(), (await endpoint.ask(person)).card
    assert (card["face"], card["refresh_after"]) == ("known", None)
    assert await endpoint.cards_read() == before
    await endpoint.grow_old(person)
    words = {"from": "customer", "text": "Are you there?"}
    await stage.send(f"{stage.kustomer}/sandbox/conversations/{begun['id']}/message", words)
    await stage.until(lambda: endpoint.is_fresh(person), "the card is there again")
    assert (await endpoint.ask(person)).card["fetched_at"] > card["fetched_at"]


async def test_the_former_secret_opens_until_it_is_replaced_a_second_time(endpoint: Endpoint) -> None:
    secrets = [await endpoint.secret()]
    for _ in range(2):
        await endpoint.stage.run(
            "app", "install", "--connection", "sandbox", "--public-url", endpoint.stage.service, "--new-secret"
        )
        secrets.append(await endpoint.secret())
        await endpoint.until_opened_by(secrets[-1])
        assert await endpoint.opens(secrets[-2])
    assert len(set(secrets)) == 3
    assert not await endpoint.opens(secrets[0])


async def test_another_connections_secret_opens_nothing(endpoint: Endpoint, cleo: str) -> None:
    await endpoint.connect("other")
    secrets = {name: await endpoint.secret(name) for name in ("sandbox", "other")}
    for connection in secrets:
        opened = [name for name in secrets if await endpoint.opens(secrets[name], connection)]
        assert opened == [connection]
    answer = await endpoint.ask(cleo, secret=secrets["other"])
    assert answer.body == SAID_TO_STRANGERS
