"""Signing in with an OpenID Connect provider."""

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

from browser import shoot
from kustomer_klaviyo.auth.authenticator import MOST_FROM_A_PLACE
from kustomer_klaviyo.auth.oidc import begin
from kustomer_klaviyo.store.encryption import load_sealer
from provider import CLIENT_ID, CLIENT_SECRET, Provider, new_key, providing
from stage import Stage, own_database, own_directory, staged

PREFIX = "KUSTOMER_KLAVIYO_OIDC_"


@asynccontextmanager
async def provided(postgres_url: str) -> AsyncIterator[tuple[Stage, Provider]]:
    """Run a service whose people sign in with a provider."""
    with own_directory() as directory, own_database(postgres_url) as url:
        async with providing() as provider, staged(directory, database_url=url) as stage:
            stage.environment |= {
                f"{PREFIX}ISSUER": provider.url,
                f"{PREFIX}CLIENT_ID": CLIENT_ID,
                f"{PREFIX}CLIENT_SECRET": CLIENT_SECRET,
                f"{PREFIX}ADMINS": "ada@acme.example, groups=integrations",
                f"{PREFIX}VIEWERS": "*@acme.example",
            }
            await stage.serve()
            yield stage, provider


@pytest.fixture(scope="module")
async def both(postgres_url: str) -> AsyncIterator[tuple[Stage, Provider]]:
    async with provided(postgres_url) as ready:
        yield ready


@pytest.fixture
def stage(both: tuple[Stage, Provider]) -> Stage:
    return both[0]


@pytest.fixture
def provider(both: tuple[Stage, Provider]) -> Provider:
    both[1].behave()
    return both[1]


async def sign_in(stage: Stage) -> tuple[int, str]:
    """Sign in as a browser does; returns the status and text of the page at the end."""
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
        session.get(f"{stage.service}/sign-in/provider") as response,
    ):
        return response.status, await response.text()


async def test_who_the_settings_name_gets_in(stage: Stage, provider: Provider, page: Page) -> None:
    await page.goto(stage.service)
    await expect(page.locator("#password")).to_have_count(0)
    await shoot(page, "sign-in-provider")
    await page.get_by_role("link", name="Sign in with 127.0.0.1").click()
    await page.wait_for_selector("h1:has-text('Connections')")
    await expect(page.get_by_role("link", name="Connect Klaviyo and Kustomer")).to_be_visible()
    await page.goto(f"{stage.service}/account")
    await expect(page.locator("main")).to_contain_text("ada@acme.example, admin")
    await expect(page.locator("#former")).to_have_count(0)
    assert provider.redeemed == 1


@pytest.mark.parametrize(
    ("person", "word"),
    [
        ({"email": "bo@acme.example", "email_verified": True}, "Nothing is connected yet"),
        ({"email": "bo@acme.example", "email_verified": True, "groups": ["integrations"]}, "Connect Klaviyo and"),
        ({"email": "eve@evil.example", "email_verified": True}, "not among those who may sign in"),
        ({"email": "ada@acme.example", "email_verified": False}, "has not verified your address"),
        ({"email": "ada@acme.example"}, "has not verified your address"),
        ({"email": "\uff41da@acme.example", "email_verified": True}, "look-alikes"),
        ({"email": "a\u200bda@acme.example", "email_verified": True}, "odd characters"),
        ({}, "does not say who you are"),
    ],
)
async def test_people_get_in_as_what_the_settings_say(
    stage: Stage, provider: Provider, person: dict[str, Any], word: str
) -> None:
    provider.person = person
    assert word in (await sign_in(stage))[1]


async def test_a_role_taken_away_at_the_provider_is_gone_with_the_next_sign_in(
    stage: Stage, provider: Provider
) -> None:
    provider.person = {"email": "bo@acme.example", "email_verified": True, "groups": ["integrations"]}
    assert "Connect Klaviyo and" in (await sign_in(stage))[1]
    provider.person["groups"] = []
    assert "Connect Klaviyo and" not in (await sign_in(stage))[1]


async def test_what_the_token_does_not_say_the_provider_is_asked_for(stage: Stage, provider: Provider) -> None:
    provider.tells_by_userinfo = True
    assert (await sign_in(stage))[0] == 200


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
async def test_a_token_made_for_something_else_opens_nothing(
    stage: Stage, provider: Provider, wrong: dict[str, Any]
) -> None:
    provider.in_token = wrong
    status, text = await sign_in(stage)
    assert (status, "cannot be used" in text) == (403, True)


async def test_an_audience_may_stand_in_a_list_of_one(stage: Stage, provider: Provider) -> None:
    provider.in_token = {"aud": [CLIENT_ID]}
    assert (await sign_in(stage))[0] == 200
    provider.in_token = {"aud": [CLIENT_ID], "azp": "another service"}
    assert (await sign_in(stage))[0] == 403


async def test_a_token_that_the_provider_did_not_sign_opens_nothing(stage: Stage, provider: Provider) -> None:
    provider.signs_with = new_key()
    assert (await sign_in(stage))[0] == 403
    provider.signs_with, provider.algorithm = None, "none"
    assert (await sign_in(stage))[0] == 403


async def test_a_provider_that_names_another_issuer_or_is_away_is_not_used(postgres_url: str) -> None:
    async with provided(postgres_url) as (stage, provider):
        provider.issuer = "https://evil.example"
        status, text = await sign_in(stage)
        assert (status, "another issuer" in text) == (403, True)
        provider.issuer, provider.url = None, "http://127.0.0.1:9"
        assert (await sign_in(stage))[0] == 403


async def test_a_callback_that_belongs_to_another_browser_opens_nothing(stage: Stage, provider: Provider) -> None:
    assert provider.url
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as mine,
        aiohttp.ClientSession() as other,
    ):
        async with mine.get(f"{stage.service}/sign-in/provider", allow_redirects=False) as response:
            there = response.headers["Location"]
        async with mine.get(there, allow_redirects=False) as response:
            back = response.headers["Location"]
        async with other.get(back) as response:
            assert response.status == 403
        async with mine.get(back.replace("state=", "state=x")) as response:
            assert response.status == 403
        async with mine.get(back) as response:
            assert response.status == 200
        async with mine.get(back) as response:
            assert response.status == 403, "a code is good once"


@pytest.mark.parametrize(("minutes", "is_over"), [(9, False), (11, True), (-11, True)])
async def test_a_sign_in_that_began_too_long_ago_is_over_whatever_the_browser_keeps(
    stage: Stage, provider: Provider, minutes: int, *, is_over: bool
) -> None:
    assert provider.url
    begun = msgspec.structs.replace(begin(), at=time.time() - 60 * minutes)
    sealer = load_sealer(None, Path(stage.environment["KUSTOMER_KLAVIYO_DATA"]))
    cookie = sealer.seal(msgspec.json.encode(begun)).decode()
    address = f"{stage.service}/sign-in/callback?state={begun.state}&code=made-up"
    async with stage.session.get(address, headers={"Cookie": f"kk_sign_on={cookie}"}) as response:
        assert (response.status, "too long ago" in await response.text()) == (403, is_over)


async def test_who_comes_back_again_and_again_waits_but_no_other_page_can_make_them(postgres_url: str) -> None:
    async with provided(postgres_url) as (stage, provider):
        assert provider.url
        callback = f"{stage.service}/sign-in/callback?state=x&code=x"
        for _ in range(2 * MOST_FROM_A_PLACE):
            async with stage.session.get(callback, headers={"Sec-Fetch-Dest": "image"}) as response:
                assert response.status == 403
        assert (await sign_in(stage))[0] == 200
        for _ in range(MOST_FROM_A_PLACE):
            async with stage.session.get(callback) as response:
                assert response.status == 403
        async with stage.session.get(callback) as response:
            assert (response.status, "Try again in" in await response.text()) == (429, True)


async def test_passwords_and_invitations_are_no_way_in(stage: Stage) -> None:
    await stage.run("admins", "invite", expect=2)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        async with session.get(f"{stage.service}/sign-in") as response:
            token = (await response.text(), response.cookies["kk_form"].value)[1]
        form = {"csrf": token, "email": "ada@acme.example", "password": "correct horse battery"}
        async with session.post(f"{stage.service}/sign-in", data=form) as response:
            assert (response.status, "sign in with the provider" in await response.text()) == (403, True)


@pytest.mark.parametrize("left_out", ["ISSUER", "CLIENT_ID", "CLIENT_SECRET", "ADMINS"])
async def test_half_a_provider_is_told_at_the_start(stage: Stage, left_out: str) -> None:
    half = {name: value for name, value in stage.environment.items() if name != f"{PREFIX}{left_out}"}
    await replace(stage, environment=half).run("status", expect=2)
