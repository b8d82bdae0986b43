"""The hosted card on the agent desktop in a real browser, with each status."""

import random
import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect

from kustomer_klaviyo.card.card_status import CardStatus
from kustomer_klaviyo.card.card_view import MESSAGES
from kustomer_klaviyo.sandbox.klaviyo import DEFAULT_KEY
from kustomer_klaviyo.sandbox.klaviyo.model.seed_history import NEVER_CONTACTED_SHARE
from support.admin_console import set_keys
from support.agent_desktop import (
    SEEDED_EMAIL,
    create_customer_with_profile,
    expect_status,
    klaviyo_api,
    open_card,
    run_environment_with_card,
)
from support.browser_launch import take_screenshot
from support.e2e_environment import E2EEnvironment
from support.temporary_database import temporary_database, temporary_directory

TEXT_PHONE = "+12025550143"
"""The phone number of a profile with a clicked text message under the old metric name and one under the new name."""


@pytest.fixture(scope="module")
async def environment(postgres_url: str) -> AsyncIterator[E2EEnvironment]:
    with temporary_directory() as directory, temporary_database(postgres_url) as url:
        async with run_environment_with_card(directory, url) as environment:
            yield environment


@pytest.fixture
async def klaviyo(environment: E2EEnvironment) -> AsyncIterator[str]:
    """The URL of the simulated Klaviyo. Faults and keys are reset after the test."""
    yield environment.klaviyo
    await environment.send(f"{environment.klaviyo}/sandbox/faults", method="DELETE")
    await set_keys(environment, {DEFAULT_KEY: ["*"]})


async def test_a_card_with_all_parts(environment: E2EEnvironment, page: Page) -> None:
    customer = await create_customer_with_profile(
        environment, email=SEEDED_EMAIL, phone="+12025550123", firstName="Cleo", lastName="Lantern"
    )
    await environment.send(f"{environment.kustomer}/sandbox/conversations", {"customer": customer, "subject": "Hello"})
    card = await expect_status(await open_card(page, environment, customer), CardStatus.OK)
    await expect(card.get_by_role("heading", level=1)).to_have_text("Cleo Lantern")
    for heading in ("Consent", "Campaigns", "Flow messages", "Lists", "Segments", "Predicted"):
        await expect(card.get_by_role("heading", name=heading, exact=True)).to_be_visible()
    await expect(card.get_by_text("Lifetime value", exact=True)).to_be_visible()
    await expect(card.locator("dd", has_text="$")).to_have_count(1)
    await expect(card.locator("footer")).to_have_text("Klaviyo account Sandbox Shop (SbxKlv) · as of just now")
    await take_screenshot(page, "desktop")
    async with page.context.expect_page() as opened:
        await card.get_by_role("link", name="Newsletter").click()
    await expect((await opened.value).get_by_role("heading", name="Newsletter")).to_be_visible()
    await expect((await opened.value).get_by_text(SEEDED_EMAIL)).to_be_visible()


async def test_a_card_with_text_messages_and_whatsapp_consent(environment: E2EEnvironment, page: Page) -> None:
    customer = await create_customer_with_profile(environment, phone=TEXT_PHONE, firstName="Wendy")
    card = await expect_status(await open_card(page, environment, customer), CardStatus.OK)
    for channel, state in (
        ("SMS", "subscribed since"),
        ("WhatsApp", "subscribed since"),
        ("email", "never subscribed"),
    ):
        row = card.locator("dt", has_text=re.compile(f"^{channel}$")).locator("xpath=following-sibling::dd[1]")
        await expect(row).to_contain_text(state)
    await expect(card.locator("dt", has_text="WhatsApp, conversational")).to_be_visible()
    await expect(card.locator("dd", has_text=re.compile("subscribed since .* until "))).to_have_count(1)
    for campaign in ("Weekend text", "End of summer text"):
        await expect(card.locator("li", has_text=campaign)).to_contain_text(re.compile("SMS · sent .* · clicked"))
    await take_screenshot(page, "card-texts")


async def test_every_link_on_the_card_leads_to_a_page_in_klaviyo(environment: E2EEnvironment, page: Page) -> None:
    customer = await create_customer_with_profile(environment, email="nora@lanternpost.example")
    card = await expect_status(await open_card(page, environment, customer), CardStatus.OK)
    links = await card.get_by_role("link").evaluate_all("links => links.map(link => link.href)")
    assert any("/campaign/" in link for link in links)
    assert any("/flow/" in link for link in links)
    for link in links:
        async with environment.session.get(link) as response:
            assert response.status == 200, link


async def test_a_card_of_a_profile_without_messages_and_groups(environment: E2EEnvironment, page: Page) -> None:
    addresses = (f"quiet{n}@lanternpost.example" for n in range(1000))
    customer = await create_customer_with_profile(
        environment,
        email=next(address for address in addresses if random.Random(address).random() < NEVER_CONTACTED_SHARE),
    )
    card = await expect_status(await open_card(page, environment, customer), CardStatus.OK)
    for text in ("None in the last 90 days.", "On no list.", "In no segment."):
        await expect(card.get_by_text(text)).to_be_visible()
    await expect(card.get_by_role("heading", name="Predicted")).to_have_count(0)
    await take_screenshot(page, "card-empty")


async def test_the_card_of_a_customer_without_a_profile(environment: E2EEnvironment, page: Page) -> None:
    customer = await create_customer_with_profile(environment, email="erased@lanternpost.example")
    attributes = {"profile": {"data": {"type": "profile", "attributes": {"email": "erased@lanternpost.example"}}}}
    await klaviyo_api(environment, "data-privacy-deletion-jobs", "data-privacy-deletion-job", attributes)
    await environment.wait_until(lambda: is_erased(environment, "erased@lanternpost.example"), "the profile is erased")
    card = await expect_status(await open_card(page, environment, customer), CardStatus.CUSTOMER_UNKNOWN)
    await expect(card).to_contain_text(MESSAGES[CardStatus.CUSTOMER_UNKNOWN])
    await take_screenshot(page, "card-customer-unknown")


async def is_erased(environment: E2EEnvironment, email: str) -> bool:
    profiles = await environment.get(f"{environment.klaviyo}/sandbox/profiles")
    return email not in [profile["email"] for profile in profiles]


async def test_the_card_of_a_customer_without_contacts(environment: E2EEnvironment, page: Page) -> None:
    customer = await environment.create_customer(firstName="Nameless")
    card = await expect_status(await open_card(page, environment, customer), CardStatus.NO_CONTACT)
    await expect(card).to_contain_text(MESSAGES[CardStatus.NO_CONTACT])
    await take_screenshot(page, "card-no-contact")


async def test_the_card_of_a_customer_with_several_profiles(environment: E2EEnvironment, page: Page) -> None:
    await klaviyo_api(environment, "profile-import", "profile", {"email": "second@lanternpost.example"})
    emails = [{"email": "first@lanternpost.example", "verified": True}, {"email": "second@lanternpost.example"}]
    customer = await create_customer_with_profile(environment, emails=emails)
    card = await expect_status(await open_card(page, environment, customer), CardStatus.OK)
    await expect(card.get_by_text("also ")).to_have_text("also s...@lanternpost.example")
    await expect(card).to_contain_text("more than one profile")
    assert "second@lanternpost.example" not in await card.inner_html()
    await take_screenshot(page, "card-other-profiles")


async def test_the_card_while_klaviyo_is_unavailable(environment: E2EEnvironment, page: Page, klaviyo: str) -> None:
    await environment.add_fault(klaviyo, kind="status", path="/api/", status=503)
    customer = await environment.create_customer(email="unavailable@lanternpost.example")
    card = await expect_status(await open_card(page, environment, customer), CardStatus.KLAVIYO_UNAVAILABLE)
    await expect(card).to_contain_text(MESSAGES[CardStatus.KLAVIYO_UNAVAILABLE])
    await take_screenshot(page, "card-klaviyo-unavailable")


async def test_the_card_after_klaviyo_rejected_the_key(environment: E2EEnvironment, page: Page, klaviyo: str) -> None:
    assert klaviyo
    customer = await create_customer_with_profile(environment, email="rejected@lanternpost.example")
    await set_keys(environment, {})
    card = await expect_status(await open_card(page, environment, customer), CardStatus.KEY_REJECTED)
    await expect(card).to_contain_text(MESSAGES[CardStatus.KEY_REJECTED])
    await take_screenshot(page, "card-key-rejected")


async def test_a_missing_scope_is_named_and_leaves_out_its_part(
    environment: E2EEnvironment, page: Page, klaviyo: str
) -> None:
    assert klaviyo
    customer = await create_customer_with_profile(environment, email="scope@lanternpost.example")
    scopes = ["profiles:read", "profiles:write", "events:read", "events:write", "metrics:read", "segments:read"]
    await set_keys(environment, {DEFAULT_KEY: scopes})
    card = await expect_status(await open_card(page, environment, customer), CardStatus.OK)
    await expect(card.locator(".note")).to_contain_text("lacks the scope lists:read")
    await expect(card.get_by_text("Unknown.")).to_be_visible()
    await take_screenshot(page, "card-missing-scope")


async def test_the_card_does_not_wait_for_a_slow_klaviyo_and_completes_itself(
    environment: E2EEnvironment, page: Page, klaviyo: str
) -> None:
    customer = await create_customer_with_profile(environment, email="slow@lanternpost.example")
    await environment.add_fault(klaviyo, kind="slow", path="/api/profiles", delay=3)
    card = await open_card(page, environment, customer)
    await expect(await expect_status(card, CardStatus.FETCHING)).to_contain_text(MESSAGES[CardStatus.FETCHING])
    await expect_status(card, CardStatus.OK)


async def test_data_from_klaviyo_is_shown_as_text_not_markup(environment: E2EEnvironment, page: Page) -> None:
    await klaviyo_api(
        environment,
        "profile-import",
        "profile",
        {"email": "evil@lanternpost.example", "first_name": "<img src=x onerror=1>"},
    )
    customer = await create_customer_with_profile(environment, email="evil@lanternpost.example")
    card = await expect_status(await open_card(page, environment, customer), CardStatus.OK)
    await expect(card.get_by_role("heading", level=1)).to_have_text("<img src=x onerror=1>")
    await expect(card.locator("img")).to_have_count(0)


async def test_an_invalid_character_in_a_name_does_not_affect_other_cards(
    environment: E2EEnvironment, page: Page
) -> None:
    await klaviyo_api(
        environment, "profile-import", "profile", {"email": "odd@lanternpost.example", "first_name": "O\0d"}
    )
    odd = await create_customer_with_profile(environment, email="odd@lanternpost.example")
    even = await create_customer_with_profile(environment, email="even@lanternpost.example")
    for customer in (odd, even):
        await expect_status(await open_card(page, environment, customer), CardStatus.OK)


async def test_the_card_of_the_previous_customer_is_replaced(environment: E2EEnvironment, page: Page) -> None:
    named = await create_customer_with_profile(environment, email="one@lanternpost.example", firstName="One")
    nameless = await environment.create_customer(firstName="Two")
    await expect_status(await open_card(page, environment, named), CardStatus.OK)
    await page.evaluate("document.querySelector('#panel iframe').mark = 'the same frame'")
    await page.locator(f"[data-customer='{nameless}']").click()
    card = await expect_status(page.frame_locator("#panel iframe"), CardStatus.NO_CONTACT)
    assert "one@" not in await card.inner_html()
    assert await page.evaluate("document.querySelector('#panel iframe').mark") == "the same frame"


async def test_only_the_organisations_kustomer_may_frame_the_card(environment: E2EEnvironment, page: Page) -> None:
    async with environment.session.get(f"{environment.service}/card/sandbox?command=x") as response:
        policy = response.headers["Content-Security-Policy"]
        html = await response.text()
    assert f"frame-ancestors {environment.kustomer}" in policy
    assert "default-src 'none'" in policy
    assert f"script-src 'self' {environment.kustomer};" in policy
    secrets = (await environment.get(f"{environment.kustomer}/sandbox/app-settings")).values()
    assert secrets
    assert not any(secret in html for secret in secrets)
    await page.goto(f"{environment.klaviyo}/sandbox/state")
    async with page.expect_console_message(lambda message: "frame-ancestors" in message.text):
        await page.evaluate(
            "url => { const frame = document.createElement('iframe'); frame.src = url; document.body.append(frame); }",
            f"{environment.service}/card/sandbox?command=x",
        )


async def test_the_next_order_is_the_same_day_everywhere(environment: E2EEnvironment, browser: Browser) -> None:
    customer = await create_customer_with_profile(environment, email="gwen@lanternpost.example")
    days = set()
    for zone in ("America/Los_Angeles", "Pacific/Auckland"):
        page = await browser.new_page(timezone_id=zone)
        card = await expect_status(await open_card(page, environment, customer), CardStatus.OK)
        days.add(await card.locator("dd", has_text="about ").inner_text())
        await page.close()
    assert len(days) == 1


async def test_the_page_reports_that_the_sdk_is_missing(environment: E2EEnvironment, page: Page) -> None:
    await page.route("**/desktop/cards-sdk.js", lambda route: route.abort())
    await page.goto(f"{environment.service}/card/sandbox?command=x")
    await expect(page.locator("main")).to_contain_text("Cards SDK could not be loaded")


async def test_the_secret_never_reaches_the_browser(environment: E2EEnvironment, page: Page) -> None:
    texts: list[str] = []
    page.on("request", lambda request: texts.append(f"{request.url} {request.headers} {request.post_data}"))
    customer = await create_customer_with_profile(environment, email="secret@lanternpost.example")
    card = await expect_status(await open_card(page, environment, customer), CardStatus.OK)
    texts.append(await card.inner_html())
    secrets = [str(value) for value in (await environment.get(f"{environment.kustomer}/sandbox/app-settings")).values()]
    assert any("cardSecret" in text for text in texts), "the command was run"
    assert not [text for text in texts for secret in secrets if secret in text]


async def test_the_card_while_klaviyos_rate_limit_is_used_up(
    environment: E2EEnvironment, page: Page, klaviyo: str
) -> None:
    await environment.add_fault(klaviyo, kind="throttle", path="/api/profiles", retry_after=3)
    customer = await environment.create_customer(email="limited@lanternpost.example")
    card = await expect_status(await open_card(page, environment, customer), CardStatus.RATE_LIMITED)
    await expect(card).to_contain_text(MESSAGES[CardStatus.RATE_LIMITED])
    await take_screenshot(page, "card-rate-limited")
