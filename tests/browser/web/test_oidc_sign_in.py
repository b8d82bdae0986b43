"""Sign-in with an OpenID Connect provider."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from playwright.async_api import Page, expect

from kustomer_klaviyo.auth.authenticator import MAX_PER_NETWORK
from kustomer_klaviyo.auth.oidc import start_sign_in
from kustomer_klaviyo.store.encryption import load_encryptor
from support.browser_launch import take_screenshot
from support.e2e_environment import E2EEnvironment, run_environment
from support.oidc_provider import CLIENT_ID, CLIENT_SECRET, StubProvider, new_key, run_provider
from support.temporary_database import temporary_database, temporary_directory

PREFIX = "KUSTOMER_KLAVIYO_OIDC_"


@asynccontextmanager
async def run_with_provider(postgres_url: str) -> AsyncIterator[tuple[E2EEnvironment, StubProvider]]:
    """Run a service whose users sign in with a provider."""
    with temporary_directory() as directory, temporary_database(postgres_url) as url:
        async with run_provider() as provider, run_environment(directory, database_url=url) as environment:
            environment.variables |= {
                f"{PREFIX}ISSUER": provider.url,
                f"{PREFIX}CLIENT_ID": CLIENT_ID,
                f"{PREFIX}CLIENT_SECRET": CLIENT_SECRET,
                f"{PREFIX}ADMINS": "ada@acme.example, groups=integrations",
                f"{PREFIX}VIEWERS": "*@acme.example",
            }
            await environment.serve()
            yield environment, provider


@pytest.fixture(scope="module")
async def both(postgres_url: str) -> AsyncIterator[tuple[E2EEnvironment, StubProvider]]:
    async with run_with_provider(postgres_url) as running:
        yield running


@pytest.fixture
def environment(both: tuple[E2EEnvironment, StubProvider]) -> E2EEnvironment:
    return both[0]


@pytest.fixture
def provider(both: tuple[E2EEnvironment, StubProvider]) -> StubProvider:
    both[1].reset()
    return both[1]


async def sign_in(environment: E2EEnvironment) -> tuple[int, str]:
    """Sign in like a browser. Returns the status and text of the last page."""
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
        session.get(f"{environment.service}/sign-in/provider") as response,
    ):
        return response.status, await response.text()


async def test_an_admin_of_the_settings_can_sign_in(
    environment: E2EEnvironment, provider: StubProvider, page: Page
) -> None:
    await page.goto(environment.service)
    await expect(page.locator("#password")).to_have_count(0)
    await take_screenshot(page, "sign-in-provider")
    await page.get_by_role("link", name="Sign in with 127.0.0.1").click()
    await page.wait_for_selector("h1:has-text('Connections')")
    await expect(page.get_by_role("link", name="Connect Klaviyo and Kustomer")).to_be_visible()
    await page.goto(f"{environment.service}/account")
    await expect(page.locator("main")).to_contain_text("ada@acme.example, admin")
    await expect(page.locator("#current_password")).to_have_count(0)
    assert provider.redeemed_codes == 1


@pytest.mark.parametrize(
    ("claims", "text"),
    [
        ({"email": "bo@acme.example", "email_verified": True}, "No connections yet"),
        ({"email": "bo@acme.example", "email_verified": True, "groups": ["integrations"]}, "Connect Klaviyo and"),
        ({"email": "eve@evil.example", "email_verified": True}, "is not allowed to sign in here"),
        ({"email": "ada@acme.example", "email_verified": False}, "has not verified your email address"),
        ({"email": "ada@acme.example"}, "has not verified your email address"),
        ({"email": "\uff41da@acme.example", "email_verified": True}, "characters that look like others"),
        ({"email": "a\u200bda@acme.example", "email_verified": True}, "unusual characters"),
        ({}, "did not send your identity"),
    ],
)
async def test_the_settings_decide_who_can_sign_in_and_in_which_role(
    environment: E2EEnvironment, provider: StubProvider, claims: dict[str, Any], text: str
) -> None:
    provider.claims = claims
    assert text in (await sign_in(environment))[1]


async def test_a_role_that_the_provider_removed_is_gone_at_the_next_sign_in(
    environment: E2EEnvironment, provider: StubProvider
) -> None:
    provider.claims = {"email": "bo@acme.example", "email_verified": True, "groups": ["integrations"]}
    assert "Connect Klaviyo and" in (await sign_in(environment))[1]
    provider.claims["groups"] = []
    assert "Connect Klaviyo and" not in (await sign_in(environment))[1]


async def test_claims_that_the_token_lacks_are_read_from_userinfo(
    environment: E2EEnvironment, provider: StubProvider
) -> None:
    provider.uses_userinfo = True
    assert (await sign_in(environment))[0] == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"aud": "another service"},
        {"aud": [CLIENT_ID, "another service"]},
        {"iss": "https://evil.example"},
        {"exp": 1_700_000_000},
        {"nonce": "another sign-in's"},
        {"nonce": None},
        {"sub": None},
    ],
)
async def test_a_token_for_another_purpose_is_rejected(
    environment: E2EEnvironment, provider: StubProvider, wrong: dict[str, Any]
) -> None:
    provider.token_claims = wrong
    status, text = await sign_in(environment)
    assert (status, "cannot be used" in text) == (403, True)


async def test_a_list_with_one_audience_is_accepted(environment: E2EEnvironment, provider: StubProvider) -> None:
    provider.token_claims = {"aud": [CLIENT_ID]}
    assert (await sign_in(environment))[0] == 200
    provider.token_claims = {"aud": [CLIENT_ID], "azp": "another service"}
    assert (await sign_in(environment))[0] == 403


async def test_a_token_with_another_signature_is_rejected(environment: E2EEnvironment, provider: StubProvider) -> None:
    provider.signing_key = new_key()
    assert (await sign_in(environment))[0] == 403
    provider.signing_key, provider.algorithm = None, "none"
    assert (await sign_in(environment))[0] == 403


async def test_a_wrong_or_unavailable_issuer_is_rejected(postgres_url: str) -> None:
    async with run_with_provider(postgres_url) as (environment, provider):
        provider.issuer = "https://evil.example"
        status, text = await sign_in(environment)
        assert (status, "another issuer" in text) == (403, True)
        provider.issuer, provider.url = None, "http://127.0.0.1:9"
        assert (await sign_in(environment))[0] == 403


async def test_a_callback_of_another_browser_is_rejected(environment: E2EEnvironment, provider: StubProvider) -> None:
    assert provider.url
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as mine,
        aiohttp.ClientSession() as other,
    ):
        async with mine.get(f"{environment.service}/sign-in/provider", allow_redirects=False) as response:
            provider_url = response.headers["Location"]
        async with mine.get(provider_url, allow_redirects=False) as response:
            callback = response.headers["Location"]
        async with other.get(callback) as response:
            assert response.status == 403
        async with mine.get(callback.replace("state=", "state=x")) as response:
            assert response.status == 403
        async with mine.get(callback) as response:
            assert response.status == 200
        async with mine.get(callback) as response:
            assert response.status == 403, "a code is valid once"


@pytest.mark.parametrize(("minutes", "is_expired"), [(9, False), (11, True), (-11, True)])
async def test_a_pending_sign_in_expires(
    environment: E2EEnvironment, provider: StubProvider, minutes: int, *, is_expired: bool
) -> None:
    assert provider.url
    pending = msgspec.structs.replace(start_sign_in(), started_at=time.time() - 60 * minutes)
    encryptor = load_encryptor(None, Path(environment.variables["KUSTOMER_KLAVIYO_DATA_DIRECTORY"]))
    cookie = encryptor.encrypt(msgspec.json.encode(pending)).decode()
    address = f"{environment.service}/sign-in/callback?state={pending.state}&code=made-up"
    async with environment.session.get(address, headers={"Cookie": f"kk_oidc={cookie}"}) as response:
        assert (response.status, "too long ago" in await response.text()) == (403, is_expired)


async def test_callbacks_are_throttled_but_other_sites_cannot_cause_it(postgres_url: str) -> None:
    async with run_with_provider(postgres_url) as (environment, provider):
        assert provider.url
        callback = f"{environment.service}/sign-in/callback?state=x&code=x"
        for _ in range(2 * MAX_PER_NETWORK):
            async with environment.session.get(callback, headers={"Sec-Fetch-Dest": "image"}) as response:
                assert response.status == 403
        assert (await sign_in(environment))[0] == 200
        for _ in range(MAX_PER_NETWORK):
            async with environment.session.get(callback) as response:
                assert response.status == 403
        async with environment.session.get(callback) as response:
            assert (response.status, "Try again in" in await response.text()) == (429, True)


async def test_passwords_and_invitations_are_disabled(environment: E2EEnvironment) -> None:
    await environment.run("admins", "invite", expect=2)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        async with session.get(f"{environment.service}/sign-in") as response:
            token = (await response.text(), response.cookies["kk_form"].value)[1]
        form = {"csrf_token": token, "email": "ada@acme.example", "password": "correct horse battery"}
        async with session.post(f"{environment.service}/sign-in", data=form) as response:
            assert (response.status, "Sign in with the provider" in await response.text()) == (403, True)


@pytest.mark.parametrize("missing", ["ISSUER", "CLIENT_ID", "CLIENT_SECRET", "ADMINS"])
async def test_incomplete_provider_settings_are_a_usage_error(environment: E2EEnvironment, missing: str) -> None:
    incomplete = {name: value for name, value in environment.variables.items() if name != f"{PREFIX}{missing}"}
    await replace(environment, variables=incomplete).run("status", expect=2)
