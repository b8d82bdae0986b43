"""Authorisation: every route of the service, requested anonymously, as a viewer and as an admin."""

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import CookieJar
from prometheus_client import CollectorRegistry

from kustomer_klaviyo.settings import Settings
from kustomer_klaviyo.web.application import create_app
from kustomer_klaviyo.web.console.router import console_router
from support.admin_console import PASSWORD, create_invitation
from support.e2e_environment import E2EEnvironment

CSRF_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
PUBLIC = {
    ("GET", "/health"), ("GET", "/ready"), ("GET", "/sign-in"), ("POST", "/sign-in"), ("GET", "/invitation/x"),
    ("POST", "/invitation/x"), ("GET", "/assets/x"), ("GET", "/card/x"), ("GET", "/card/assets/x"),
}  # fmt: skip
OWN_CREDENTIALS = {("GET", "/metrics"), ("POST", "/card/x/customers/x"), ("POST", "/webhooks/kustomer")}
VIEWERS = {
    ("GET", "/"), ("GET", "/connections/x"), ("GET", "/account"), ("POST", "/account/password"), ("POST", "/sign-out"),
}  # fmt: skip


def routes() -> Iterator[tuple[str, str]]:
    """Return every route of the service, with x for each parameter."""
    # Read from the application, so that no new route can be forgotten.
    service: Any = type("EmptyService", (), {})()
    service.app = type("EmptyContext", (), {"db": None, "connections": None, "encryptor": None})()
    service.app.settings = Settings()
    service.session = service.is_disk_full = None
    app = create_app(
        service, cards=service, registry=service, check_ready=service, read_health=service,
        metrics_registry=CollectorRegistry(), metrics_token=None, extra_handlers=[console_router(service)],
    )  # fmt: skip
    for route in app.routes:
        path = re.sub(r"\{[^}]+\}", "x", route.path)
        for method in getattr(route, "methods", None) or ["POST"]:
            if method in ("GET", "POST"):
                yield method, path


ROUTES = sorted(set(routes()))


@dataclass
class Caller:
    """An HTTP client with its cookies."""

    session: aiohttp.ClientSession
    service: str
    email: str = ""

    async def request(self, method: str, path: str, **form: str) -> aiohttp.ClientResponse:
        """Send a request without following redirects."""
        data = form if method == "POST" else None
        async with self.session.request(method, self.service + path, data=data, allow_redirects=False) as response:
            await response.read()
            return response

    async def csrf_token(self, path: str = "/account") -> str:
        """Return the CSRF token of a form."""
        async with self.session.get(self.service + path) as response:
            token = CSRF_TOKEN.search(await response.text())
            assert token, await response.text()
            return token.group(1)


@pytest.fixture
def environment(shared_environment: E2EEnvironment) -> E2EEnvironment:
    return shared_environment


@pytest.fixture
async def callers(environment: E2EEnvironment) -> AsyncIterator[dict[str, Caller]]:
    """An anonymous client, a new viewer and a new admin."""
    callers = {
        name: Caller(
            aiohttp.ClientSession(cookie_jar=CookieJar(unsafe=True)),
            environment.service,
            f"{name}-{uuid4()}@acme.example",
        )
        for name in ("anonymous", "viewer", "admin")
    }
    for role in ("viewer", "admin"):
        caller = callers[role]
        link = (await create_invitation(environment, role)).removeprefix(environment.service)
        token = await caller.csrf_token(link)
        response = await caller.request("POST", link, csrf_token=token, email=caller.email, password=PASSWORD)
        assert response.status == 303
    yield callers
    for caller in callers.values():
        await caller.session.close()


def test_all_listed_routes_exist() -> None:
    assert set(ROUTES) >= PUBLIC | OWN_CREDENTIALS | VIEWERS
    assert len(ROUTES) > 25


async def test_an_anonymous_visitor_reaches_only_sign_in(callers: dict[str, Caller]) -> None:
    for method, path in ROUTES:
        response = await callers["anonymous"].request(method, path)
        if (method, path) in PUBLIC:
            continue
        if (method, path) in OWN_CREDENTIALS:
            assert response.status in (401, 404), (method, path, response.status)
        elif method == "GET":
            assert (response.status, response.headers.get("Location")) == (303, "/sign-in"), (method, path)
        else:
            assert response.status == 401, (method, path, response.status)


async def test_a_viewer_can_read_but_change_nothing(callers: dict[str, Caller]) -> None:
    viewer = callers["viewer"]
    token = await viewer.csrf_token()
    for method, path in ROUTES:
        if (method, path) in PUBLIC | OWN_CREDENTIALS | {("POST", "/sign-out")}:
            continue
        response = await viewer.request(method, path, csrf_token=token)
        expected = (200, 400, 404) if (method, path) in VIEWERS else (403,)
        assert response.status in expected, (method, path, response.status)


async def test_an_admin_can_do_everything_but_only_with_the_csrf_token(
    callers: dict[str, Caller],
) -> None:
    admin = callers["admin"]
    token = await admin.csrf_token()
    for method, path in ROUTES:
        if (method, path) in PUBLIC | OWN_CREDENTIALS | {("POST", "/sign-out")}:
            continue
        if method == "POST":
            assert (await admin.request(method, path)).status == 403, path
            assert (await admin.request(method, path, csrf_token="made-up")).status == 403, path
        response = await admin.request(method, path, csrf_token=token)
        assert response.status in (200, 204, 303, 400, 404), (method, path, response.status)


async def test_a_form_from_another_site_is_rejected_even_with_the_csrf_token(callers: dict[str, Caller]) -> None:
    admin = callers["admin"]
    form, headers = {"csrf_token": await admin.csrf_token(), "everywhere": "yes"}, {"Sec-Fetch-Site": "cross-site"}
    async with admin.session.post(f"{admin.service}/sign-out", data=form, headers=headers) as response:
        assert response.status == 403
    assert (await admin.request("GET", "/")).status == 200


async def test_every_page_forbids_framing_and_foreign_scripts(callers: dict[str, Caller]) -> None:
    pages = [("admin", path) for path in ("/", "/connect", "/account", "/connections/x")]
    for name, path in [*pages, ("anonymous", "/sign-in")]:
        response = await callers[name].request("GET", path)
        policy = response.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy, path
        assert "script-src 'self';" in policy, path
        assert response.headers["X-Frame-Options"] == "DENY"
        assert response.headers["Cache-Control"] == "no-store"


async def test_scripts_cannot_read_the_session_cookie(callers: dict[str, Caller], environment: E2EEnvironment) -> None:
    anonymous = callers["anonymous"]
    token = await anonymous.csrf_token("/sign-in")
    response = await anonymous.request(
        "POST", "/sign-in", csrf_token=token, email=callers["admin"].email, password=PASSWORD
    )
    cookie = next(text for text in response.headers.getall("Set-Cookie") if text.startswith("kk_session="))
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie, f"{environment.service} is not https"


async def test_signing_out_everywhere_ends_every_session(callers: dict[str, Caller]) -> None:
    anonymous, admin = callers["anonymous"], callers["admin"]
    token = await anonymous.csrf_token("/sign-in")
    await anonymous.request("POST", "/sign-in", csrf_token=token, email=callers["admin"].email, password=PASSWORD)
    assert (await anonymous.request("GET", "/")).status == 200
    await admin.request("POST", "/sign-out", csrf_token=await admin.csrf_token(), everywhere="yes")
    assert (await admin.request("GET", "/")).status == 303
    assert (await anonymous.request("GET", "/")).status == 303
    assert (await callers["viewer"].request("GET", "/")).status == 200


async def test_after_too_many_failures_even_the_right_password_is_rejected(callers: dict[str, Caller]) -> None:
    anonymous = callers["anonymous"]
    token = await anonymous.csrf_token("/sign-in")
    for _ in range(5):
        response = await anonymous.request(
            "POST", "/sign-in", csrf_token=token, email=callers["admin"].email, password="guess"
        )
        assert response.status == 403
    response = await anonymous.request(
        "POST", "/sign-in", csrf_token=token, email=callers["admin"].email.upper(), password=PASSWORD
    )
    assert response.status == 429
    other = await anonymous.request(
        "POST", "/sign-in", csrf_token=token, email=callers["viewer"].email, password=PASSWORD
    )
    assert other.status == 303


async def test_an_invitation_works_once(callers: dict[str, Caller], environment: E2EEnvironment) -> None:
    anonymous = callers["anonymous"]
    link = (await create_invitation(environment)).removeprefix(environment.service)
    token = await anonymous.csrf_token(link)
    short = await anonymous.request("POST", link, csrf_token=token, email="eve@acme.example", password="short")
    assert short.status == 400
    assert (
        await anonymous.request("POST", link, csrf_token=token, email="eve@acme.example", password=PASSWORD)
    ).status == 303
    assert (await callers["viewer"].request("GET", link)).status == 404


async def test_a_wrong_card_secret_and_an_unknown_connection_get_the_same_response(
    environment: E2EEnvironment,
) -> None:
    await environment.connect()
    await environment.install_card()
    responses = []
    for name in ("sandbox", "unknown"):
        url = f"{environment.service}/card/{name}/customers/{'0' * 24}"
        async with environment.session.post(url, headers={"Authorization": "Bearer guess"}) as response:
            responses.append((response.status, await response.text()))
    assert responses[0] == responses[1]
    assert responses[0][0] == 401


async def test_a_card_secret_is_valid_for_its_connection_only(environment: E2EEnvironment) -> None:
    for name in ("one", "two"):
        await environment.connect(name)
        await environment.install_card(name)
    apps = (await environment.kustomer_api("GET", "/v1/apps"))["data"]
    commands = {app["attributes"]["app"].split("_")[2]: app["attributes"]["commands"][0]["name"] for app in apps}
    body = {"args": {"customer": "0" * 24}, "headers": {"Authorization": "Bearer {{cardSecret}}"}}

    async def accepts(name: str) -> bool:
        response = await environment.kustomer_api("POST", f"/v1/commands/{commands[name]}/run", body)
        return bool(response["data"]["attributes"]["responseStatusCode"] == 200)

    await environment.wait_until(lambda: accepts("two"), "the second card works")
    await environment.wait_until(lambda: accepts("one"), "the first card works")
    secrets = await environment.get(f"{environment.kustomer}/sandbox/app-settings")
    secret = next(value for name, value in secrets.items() if "_one_" in name)
    for name, status in (("one", 200), ("two", 401)):
        url = f"{environment.service}/card/{name}/customers/{'0' * 24}"
        async with environment.session.post(url, headers={"Authorization": f"Bearer {secret}"}) as response:
            assert response.status == status, name
