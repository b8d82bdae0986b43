"""Who may ask for what: every route of the service, tried by everybody."""

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import CookieJar
from prometheus_client import CollectorRegistry

from admin import PASSWORD, invited
from kustomer_klaviyo.settings import Settings
from kustomer_klaviyo.web.app import create_app
from kustomer_klaviyo.web.console.site import site
from stage import Stage

CSRF = re.compile(r'name="csrf" value="([^"]+)"')
PUBLIC = {
    ("GET", "/health"), ("GET", "/ready"), ("GET", "/sign-in"), ("POST", "/sign-in"), ("GET", "/invitation/x"),
    ("POST", "/invitation/x"), ("GET", "/assets/x"), ("GET", "/card/x"), ("GET", "/card/assets/x"),
}  # fmt: skip
OWN_CREDENTIALS = {("GET", "/metrics"), ("POST", "/card/x/customers/x"), ("POST", "/webhooks/kustomer")}
VIEWERS = {
    ("GET", "/"), ("GET", "/connections/x"), ("GET", "/account"), ("POST", "/account/password"), ("POST", "/sign-out"),
}  # fmt: skip


def routes() -> Iterator[tuple[str, str]]:
    """Name every route of the service, with x for each parameter."""
    # Read from the program itself, so that a new route cannot be forgotten here.
    service: Any = type("Nobody", (), {})()
    service.home = type("Nowhere", (), {"database": None, "connections": None, "sealer": None})()
    service.home.settings = Settings()
    service.session = service.lacks_space = None
    made = create_app(
        service, cards=service, directory=service, why_not_ready=service, health_numbers=service,
        registry=CollectorRegistry(), metrics_token=None, more=[site(service)],
    )  # fmt: skip
    for route in made.routes:
        path = re.sub(r"\{[^}]+\}", "x", route.path)
        for method in getattr(route, "methods", None) or ["POST"]:
            if method in ("GET", "POST"):
                yield method, path


ROUTES = sorted(set(routes()))


@dataclass
class Caller:
    """Somebody at the door, with their cookies."""

    session: aiohttp.ClientSession
    service: str
    email: str = ""

    async def ask(self, method: str, path: str, **form: str) -> aiohttp.ClientResponse:
        """Ask without following where it leads."""
        data = form if method == "POST" else None
        async with self.session.request(method, self.service + path, data=data, allow_redirects=False) as response:
            await response.read()
            return response

    async def csrf(self, path: str = "/account") -> str:
        """Return the token of a form."""
        async with self.session.get(self.service + path) as response:
            found = CSRF.search(await response.text())
            assert found, await response.text()
            return found.group(1)


@pytest.fixture
def stage(shared_stage: Stage) -> Stage:
    return shared_stage


@pytest.fixture
async def callers(stage: Stage) -> AsyncIterator[dict[str, Caller]]:
    """Nobody, a viewer, and an admin whom no other test knows."""
    made = {
        name: Caller(
            aiohttp.ClientSession(cookie_jar=CookieJar(unsafe=True)), stage.service, f"{name}-{uuid4()}@acme.example"
        )
        for name in ("nobody", "viewer", "admin")
    }
    for role in ("viewer", "admin"):
        caller = made[role]
        link = (await invited(stage, role)).removeprefix(stage.service)
        token = await caller.csrf(link)
        answer = await caller.ask("POST", link, csrf=token, email=caller.email, password=PASSWORD)
        assert answer.status == 303
    yield made
    for caller in made.values():
        await caller.session.close()


def test_every_route_is_listed_here() -> None:
    assert set(ROUTES) >= PUBLIC | OWN_CREDENTIALS | VIEWERS
    assert len(ROUTES) > 25


async def test_nobody_gets_nowhere_but_to_the_door(callers: dict[str, Caller]) -> None:
    for method, path in ROUTES:
        answer = await callers["nobody"].ask(method, path)
        if (method, path) in PUBLIC:
            continue
        if (method, path) in OWN_CREDENTIALS:
            assert answer.status in (401, 404), (method, path, answer.status)
        elif method == "GET":
            assert (answer.status, answer.headers.get("Location")) == (303, "/sign-in"), (method, path)
        else:
            assert answer.status == 401, (method, path, answer.status)


async def test_a_viewer_sees_and_changes_nothing(callers: dict[str, Caller]) -> None:
    viewer = callers["viewer"]
    token = await viewer.csrf()
    for method, path in ROUTES:
        if (method, path) in PUBLIC | OWN_CREDENTIALS | {("POST", "/sign-out")}:
            continue
        answer = await viewer.ask(method, path, csrf=token)
        expected = (200, 400, 404) if (method, path) in VIEWERS else (403,)
        assert answer.status in expected, (method, path, answer.status)


async def test_an_admin_gets_everywhere_with_the_token_of_the_form_and_nowhere_without(
    callers: dict[str, Caller],
) -> None:
    admin = callers["admin"]
    token = await admin.csrf()
    for method, path in ROUTES:
        if (method, path) in PUBLIC | OWN_CREDENTIALS | {("POST", "/sign-out")}:
            continue
        if method == "POST":
            assert (await admin.ask(method, path)).status == 403, path
            assert (await admin.ask(method, path, csrf="made-up")).status == 403, path
        answer = await admin.ask(method, path, csrf=token)
        assert answer.status in (200, 204, 303, 400, 404), (method, path, answer.status)


async def test_a_form_sent_by_another_site_is_refused_even_with_the_token(callers: dict[str, Caller]) -> None:
    admin = callers["admin"]
    form, headers = {"csrf": await admin.csrf(), "everywhere": "yes"}, {"Sec-Fetch-Site": "cross-site"}
    async with admin.session.post(f"{admin.service}/sign-out", data=form, headers=headers) as response:
        assert response.status == 403
    assert (await admin.ask("GET", "/")).status == 200


async def test_every_page_forbids_framing_and_foreign_scripts(callers: dict[str, Caller]) -> None:
    pages = [("admin", path) for path in ("/", "/connect", "/account", "/connections/x")]
    for who, path in [*pages, ("nobody", "/sign-in")]:
        answer = await callers[who].ask("GET", path)
        policy = answer.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy, path
        assert "script-src 'self';" in policy, path
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Cache-Control"] == "no-store"


async def test_the_session_cookie_is_out_of_scripts_reach(callers: dict[str, Caller], stage: Stage) -> None:
    nobody = callers["nobody"]
    token = await nobody.csrf("/sign-in")
    answer = await nobody.ask("POST", "/sign-in", csrf=token, email=callers["admin"].email, password=PASSWORD)
    cookie = next(text for text in answer.headers.getall("Set-Cookie") if text.startswith("kk_session="))
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie, f"{stage.service} is not https"


async def test_signing_out_everywhere_ends_every_session(callers: dict[str, Caller]) -> None:
    nobody, admin = callers["nobody"], callers["admin"]
    token = await nobody.csrf("/sign-in")
    await nobody.ask("POST", "/sign-in", csrf=token, email=callers["admin"].email, password=PASSWORD)
    assert (await nobody.ask("GET", "/")).status == 200
    await admin.ask("POST", "/sign-out", csrf=await admin.csrf(), everywhere="yes")
    assert (await admin.ask("GET", "/")).status == 303
    assert (await nobody.ask("GET", "/")).status == 303
    assert (await callers["viewer"].ask("GET", "/")).status == 200


async def test_guessing_is_slowed_down_for_the_right_password_too(callers: dict[str, Caller]) -> None:
    nobody = callers["nobody"]
    token = await nobody.csrf("/sign-in")
    for _ in range(5):
        answer = await nobody.ask("POST", "/sign-in", csrf=token, email=callers["admin"].email, password="guess")
        assert answer.status == 403
    answer = await nobody.ask("POST", "/sign-in", csrf=token, email=callers["admin"].email.upper(), password=PASSWORD)
    assert answer.status == 429
    other = await nobody.ask("POST", "/sign-in", csrf=token, email=callers["viewer"].email, password=PASSWORD)
    assert other.status == 303


async def test_a_one_time_link_works_once(callers: dict[str, Caller], stage: Stage) -> None:
    nobody = callers["nobody"]
    link = (await invited(stage)).removeprefix(stage.service)
    token = await nobody.csrf(link)
    short = await nobody.ask("POST", link, csrf=token, email="eve@acme.example", password="short")
    assert short.status == 400
    assert (await nobody.ask("POST", link, csrf=token, email="eve@acme.example", password=PASSWORD)).status == 303
    assert (await callers["viewer"].ask("GET", link)).status == 404


async def test_an_answer_to_a_wrong_card_secret_is_the_same_for_an_unknown_connection(stage: Stage) -> None:
    await stage.connect()
    await stage.run("app", "install", "--public-url", stage.service)
    answers = []
    for name in ("sandbox", "unknown"):
        url = f"{stage.service}/card/{name}/customers/{'0' * 24}"
        async with stage.session.post(url, headers={"Authorization": "Bearer guess"}) as response:
            answers.append((response.status, await response.text()))
    assert answers[0] == answers[1]
    assert answers[0][0] == 401


async def test_one_connections_secret_opens_no_other(stage: Stage) -> None:
    urls = ("--public-url", stage.service, "--kustomer-url", stage.kustomer, "--klaviyo-url", stage.klaviyo)
    for name in ("one", "two"):
        await stage.run("connect", "sandbox", "--connection", name, *urls)
        await stage.run("app", "install", "--connection", name, "--public-url", stage.service)
    apps = (await stage.kustomer_api("GET", "/v1/apps"))["data"]
    commands = {app["attributes"]["app"].split("_")[2]: app["attributes"]["commands"][0]["name"] for app in apps}
    asked = {"args": {"customer": "0" * 24}, "headers": {"Authorization": "Bearer {{cardSecret}}"}}

    async def opens(name: str) -> bool:
        answer = await stage.kustomer_api("POST", f"/v1/commands/{commands[name]}/run", asked)
        return bool(answer["data"]["attributes"]["responseStatusCode"] == 200)

    await stage.until(lambda: opens("two"), "the second card answers")
    await stage.until(lambda: opens("one"), "the first card answers")
    secret = await stage.get(f"{stage.kustomer}/sandbox/secrets")
    mine = next(value for name, value in secret.items() if "_one_" in name)
    for name, status in (("one", 200), ("two", 401)):
        url = f"{stage.service}/card/{name}/customers/{'0' * 24}"
        async with stage.session.post(url, headers={"Authorization": f"Bearer {mine}"}) as response:
            assert response.status == status, name
