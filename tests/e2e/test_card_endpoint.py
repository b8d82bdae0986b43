"""The responses of the card's endpoint, and who may read a card."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from support.agent_desktop import SEEDED_EMAIL, create_customer_with_profile
from support.e2e_environment import E2EEnvironment, run_environment
from support.temporary_database import temporary_database, temporary_directory

UNKNOWN_CUSTOMER = "0" * 24
NUMBERS = itertools.count()
UNAUTHORIZED = {"error": "Unknown connection, or wrong card secret."}
IS_FRESH = """
SELECT FROM cards
WHERE connection_id = 'sandbox' AND customer_id = %s AND fresh_until > now() AND refresh_reason IS NULL
"""
EXPIRE = """
UPDATE cards SET fresh_until = now() WHERE connection_id = 'sandbox' AND customer_id = %s RETURNING customer_id
"""


@dataclass
class CardResponse:
    """A response of the endpoint."""

    status: int
    headers: Any
    body: Any

    @property
    def card(self) -> dict[str, Any]:
        """The card of a successful response."""
        assert self.status == 200, self.body
        card: dict[str, Any] = self.body["card"]
        return card


@dataclass
class Endpoint:
    """The card's endpoint, called as Kustomer's servers call it."""

    environment: E2EEnvironment
    database_url: str

    async def request(
        self,
        customer_id: str = UNKNOWN_CUSTOMER,
        *,
        secret: str | None = None,
        connection: str = "sandbox",
        **options: Any,
    ) -> CardResponse:
        """Request a card. The default secret is the one that Kustomer holds."""
        headers = {"Authorization": f"Bearer {await self.secret() if secret is None else secret}"}
        url = f"{self.environment.service}/card/{connection}/customers/{customer_id}"
        arguments = {"headers": headers, "json": {}} | options
        # An idle connection may end at the moment it is used again.
        arguments["headers"] = arguments["headers"] | {"Connection": "close"}
        async with self.environment.session.post(url, **arguments) as response:
            is_json = response.content_type == "application/json"
            return CardResponse(response.status, response.headers, await response.json() if is_json else None)

    async def connect(self, connection: str) -> None:
        """Create a connection and install its card."""
        await self.environment.connect(connection)
        await self.environment.install_card(connection)
        await self.wait_until_accepted(await self.secret(connection), connection)

    async def secret(self, connection: str = "sandbox") -> str:
        """Return the secret that Kustomer holds for a connection."""
        secrets = await self.environment.get(f"{self.environment.kustomer}/sandbox/app-settings")
        return str(next(value for name, value in secrets.items() if f"_{connection}_" in name))

    async def accepts(self, secret: str, connection: str = "sandbox") -> bool:
        return (await self.request(secret=secret, connection=connection)).status == 200

    async def wait_until_accepted(self, secret: str, connection: str = "sandbox") -> None:
        """Wait until the service accepts a secret."""
        await self.environment.wait_until(
            lambda: self.accepts(secret, connection), "the service knows the card's secret"
        )

    async def wait_for_status(self, customer_id: str, status: str) -> dict[str, Any]:
        """Wait until a card has a status."""
        cards: list[dict[str, Any]] = []

        async def has_status() -> bool:
            # Slowly enough to stay below the rate limit.
            await asyncio.sleep(0.2)
            cards.append((await self.request(customer_id)).card)
            return bool(cards[-1]["status"] == status)

        await self.environment.wait_until(has_status, f"the status of the card is {status}")
        return cards[-1]

    async def fetch_count(self) -> int:
        """Return how often the service fetched a card. Each fetch reads events once."""
        state = await self.environment.get(f"{self.environment.klaviyo}/sandbox/state")
        return int(state["requests"].get("get_events", 0))

    async def is_fresh(self, customer_id: str) -> bool:
        """Return whether a fresh card is stored and no refresh is requested."""
        return bool(await self._rows(IS_FRESH, customer_id))

    async def expire(self, customer_id: str) -> None:
        """Make a stored card stale."""
        assert await self._rows(EXPIRE, customer_id)

    async def _rows(self, query: Any, customer_id: str) -> list[Any]:
        async with await psycopg.AsyncConnection.connect(self.database_url, autocommit=True) as connection:
            return await (await connection.execute(query, (customer_id,))).fetchall()


@pytest.fixture(scope="module")
async def endpoint(postgres_url: str) -> AsyncIterator[Endpoint]:
    with temporary_directory() as directory, temporary_database(postgres_url) as url:
        async with run_environment(directory, database_url=url, marketing=True) as environment:
            await environment.serve()
            endpoint = Endpoint(environment, url)
            await endpoint.connect("sandbox")
            yield endpoint


@pytest.fixture(scope="module")
async def cleo(endpoint: Endpoint) -> str:
    """A customer with a long history in Klaviyo."""
    customer = await create_customer_with_profile(
        endpoint.environment, email=SEEDED_EMAIL, phone="+12025550123", firstName="Cleo", lastName="Lantern"
    )
    await endpoint.wait_for_status(customer, "ok")
    return customer


@pytest.fixture
async def customer(endpoint: Endpoint) -> str:
    """A customer with a profile, whose card no other test opens."""
    customer_id = await create_customer_with_profile(
        endpoint.environment, email=f"person{next(NUMBERS)}@lanternpost.example"
    )
    await endpoint.wait_for_status(customer_id, "ok")
    return customer_id


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer"}, {"Authorization": "Bearer a guess"}, {"Authorization": "Basic {}"}, {"X": "{}"}],
)
async def test_a_request_without_the_secret_is_unauthorized(
    endpoint: Endpoint, cleo: str, headers: dict[str, str]
) -> None:
    secret = await endpoint.secret()
    response = await endpoint.request(cleo, headers={name: value.format(secret) for name, value in headers.items()})
    assert (response.status, response.body) == (401, UNAUTHORIZED)


async def test_an_unauthorized_response_is_the_same_for_every_customer_and_connection(
    endpoint: Endpoint, cleo: str
) -> None:
    for customer_id in (cleo, UNKNOWN_CUSTOMER, "no-id"):
        for connection in ("sandbox", "nowhere"):
            response = await endpoint.request(customer_id, secret="a guess", connection=connection)
            assert (response.status, response.body) == (401, UNAUTHORIZED)


@pytest.mark.parametrize("customer_id", ["x", "0" * 23, "0" * 25, "g" * 24, "A" * 24])
async def test_an_invalid_customer_id_is_refused(endpoint: Endpoint, customer_id: str) -> None:
    response = await endpoint.request(customer_id)
    assert response.status == 400
    assert "24 hexadecimal digits" in response.body["error"]


@pytest.mark.parametrize("customer_id", ["0" * 24 + "%0A", "%00" * 24])
async def test_an_id_with_control_characters_is_refused(endpoint: Endpoint, customer_id: str) -> None:
    assert (await endpoint.request(customer_id)).status == 400


async def test_only_post_is_allowed(endpoint: Endpoint, cleo: str) -> None:
    headers = {"Authorization": f"Bearer {await endpoint.secret()}"}
    url = f"{endpoint.environment.service}/card/sandbox/customers/{cleo}"
    async with endpoint.environment.session.get(url, headers=headers) as response:
        assert response.status == 405


async def test_the_customer_is_taken_from_the_path_only(endpoint: Endpoint, cleo: str) -> None:
    response = await endpoint.request(cleo, json={"customer": UNKNOWN_CUSTOMER}, params={"customer": UNKNOWN_CUSTOMER})
    assert (response.body["customer"], response.card["profile"]["name"]) == (cleo, "Cleo Lantern")


async def test_every_response_is_json_that_is_not_cached(endpoint: Endpoint, cleo: str) -> None:
    for response in (
        await endpoint.request(cleo),
        await endpoint.request("x"),
        await endpoint.request(cleo, secret="a guess"),
    ):
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-store"
        assert "Set-Cookie" not in response.headers


async def test_a_deleted_customer_has_a_card_that_says_so(endpoint: Endpoint) -> None:
    card = await endpoint.wait_for_status("f" * 24, "customer_deleted")
    assert card["message"] == "This customer no longer exists in Kustomer."
    assert (card["profile"], card["campaigns"], card["lists"]) == (None, None, None)


async def test_a_card_contains_no_secret_and_no_text_of_a_conversation(endpoint: Endpoint, cleo: str) -> None:
    environment = endpoint.environment
    body = {"customer": cleo, "subject": "About my lantern-4711"}
    conversation = (await environment.send(f"{environment.kustomer}/sandbox/conversations", body))["id"]
    message = {"from": "customer", "text": "It glows lantern-4712"}
    await environment.send(f"{environment.kustomer}/sandbox/conversations/{conversation}/message", message)
    await environment.wait_until(
        lambda: has_event_of(environment, conversation), "Klaviyo has the event of the conversation"
    )
    await endpoint.expire(cleo)
    await endpoint.request(cleo)
    await environment.wait_until(lambda: endpoint.is_fresh(cleo), "the card is fetched again")
    response = await endpoint.request(cleo)
    assert response.card["status"] == "ok"
    secrets = (await environment.get(f"{environment.kustomer}/sandbox/app-settings")).values()
    text = f"{response.body} {response.headers}"
    assert not [value for value in (*secrets, SEEDED_EMAIL, "+12025550123", "4711", "4712") if value in text]


async def has_event_of(environment: E2EEnvironment, conversation: str) -> bool:
    return any(
        event["properties"].get("conversationId") == conversation for event in await environment.klaviyo_events()
    )


async def test_the_card_of_one_customer_is_rate_limited_and_others_are_not(
    endpoint: Endpoint, cleo: str, customer: str
) -> None:
    secret = await endpoint.secret()
    responses = await asyncio.gather(*(endpoint.request(customer, secret=secret) for _ in range(70)))
    limited = [response.card for response in responses if response.card["status"] == "too_many_requests"]
    assert 0 < len(limited) < 70
    for card in limited:
        assert (card["profile"], card["campaigns"], card["fetched_at"]) == (None, None, None)
        assert card["refresh_after"] is not None
    assert (await endpoint.request(cleo)).card["status"] == "ok"


async def test_simultaneous_requests_for_a_card_cause_one_fetch(endpoint: Endpoint) -> None:
    secret = await endpoint.secret()
    customer = await create_customer_with_profile(endpoint.environment, email="shared@lanternpost.example")
    before = await endpoint.fetch_count()
    await endpoint.environment.add_fault(
        endpoint.environment.klaviyo, kind="slow", path="/api/profiles", delay=0.3, times=1
    )
    responses = await asyncio.gather(*(endpoint.request(customer, secret=secret) for _ in range(8)))
    assert {response.status for response in responses} == {200}
    await endpoint.wait_for_status(customer, "ok")
    assert await endpoint.fetch_count() == before + 1


async def test_a_fresh_card_is_not_fetched_again(endpoint: Endpoint, customer: str) -> None:
    await endpoint.environment.wait_until(lambda: endpoint.is_fresh(customer), "the card is fresh")
    before, card = await endpoint.fetch_count(), (await endpoint.request(customer)).card
    again = (await endpoint.request(customer)).card
    assert (again["fetched_at"], again["refresh_after"]) == (card["fetched_at"], None)
    assert await endpoint.fetch_count() == before


async def test_a_stale_card_is_shown_at_once_and_refreshed_in_the_background(endpoint: Endpoint, customer: str) -> None:
    previous = (await endpoint.request(customer)).card
    await endpoint.expire(customer)
    shown = (await endpoint.request(customer)).card
    assert (shown["status"], shown["fetched_at"]) == ("ok", previous["fetched_at"])
    assert shown["refresh_after"] is not None
    await endpoint.environment.wait_until(lambda: endpoint.is_fresh(customer), "the card is fetched again")
    assert (await endpoint.request(customer)).card["fetched_at"] > previous["fetched_at"]


async def test_while_klaviyo_is_unavailable_the_last_card_is_shown_with_its_age(
    endpoint: Endpoint, customer: str
) -> None:
    environment = endpoint.environment
    previous = (await endpoint.request(customer)).card
    await environment.add_fault(environment.klaviyo, kind="status", path="/api/", status=503)
    await endpoint.expire(customer)

    async def is_noted() -> bool:
        await asyncio.sleep(0.2)
        return "does not answer" in " ".join((await endpoint.request(customer)).card["notes"])

    await environment.wait_until(is_noted, "the card says that Klaviyo is unavailable")
    card = (await endpoint.request(customer)).card
    await environment.send(f"{environment.klaviyo}/sandbox/faults", method="DELETE")
    assert card["refresh_after"] is not None
    for name in ("status", "fetched_at", "profile", "consents", "lists", "segments", "campaigns", "flows"):
        assert card[name] == previous[name], name


async def test_a_new_conversation_prefetches_the_card(endpoint: Endpoint) -> None:
    environment = endpoint.environment
    customer = await create_customer_with_profile(environment, email="early@lanternpost.example")
    conversation = await environment.send(
        f"{environment.kustomer}/sandbox/conversations", {"customer": customer, "subject": "Hello"}
    )
    await environment.wait_until(lambda: endpoint.is_fresh(customer), "the card is stored")
    before, card = await endpoint.fetch_count(), (await endpoint.request(customer)).card
    assert (card["status"], card["refresh_after"]) == ("ok", None)
    assert await endpoint.fetch_count() == before
    await endpoint.expire(customer)
    message = {"from": "customer", "text": "Are you there?"}
    await environment.send(f"{environment.kustomer}/sandbox/conversations/{conversation['id']}/message", message)
    await environment.wait_until(lambda: endpoint.is_fresh(customer), "the card is stored again")
    assert (await endpoint.request(customer)).card["fetched_at"] > card["fetched_at"]


async def test_the_previous_secret_is_valid_until_the_next_replacement(endpoint: Endpoint) -> None:
    secrets = [await endpoint.secret()]
    for _ in range(2):
        await endpoint.environment.run(
            "app", "install", "--connection", "sandbox", "--public-url", endpoint.environment.service, "--new-secret"
        )
        secrets.append(await endpoint.secret())
        await endpoint.wait_until_accepted(secrets[-1])
        assert await endpoint.accepts(secrets[-2])
    assert len(set(secrets)) == 3
    assert not await endpoint.accepts(secrets[0])


async def test_a_secret_is_valid_for_its_own_connection_only(endpoint: Endpoint, cleo: str) -> None:
    await endpoint.connect("other")
    secrets = {name: await endpoint.secret(name) for name in ("sandbox", "other")}
    for connection in secrets:
        accepted = [name for name in secrets if await endpoint.accepts(secrets[name], connection)]
        assert accepted == [connection]
    response = await endpoint.request(cleo, secret=secrets["other"])
    assert response.body == UNAUTHORIZED
