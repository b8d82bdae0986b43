"""The card on an agent's desktop, in a real browser: each face says honestly what is known, and why it is no more."""

import random
import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect

from admin import set_keys
from browser import shoot
from desktop import KNOWN, customer, has_face, klaviyo_api, open_card, staged_with_card
from kustomer_klaviyo.sandbox.klaviyo import DEFAULT_KEY
from kustomer_klaviyo.sandbox.klaviyo.model.seed_history import STRANGERS
from stage import Stage, own_database, own_directory

TEXTED = "+12025550143"
"""Somebody with a text under the old name of the metric and one under the new, who clicked both."""


@pytest.fixture(scope="module")
async def stage(postgres_url: str) -> AsyncIterator[Stage]:
    with own_directory() as directory, own_database(postgres_url) as url:
        async with staged_with_card(directory, url) as ready:
            yield ready


@pytest.fixture
async def klaviyo(stage: Stage) -> AsyncIterator[str]:
    """A Klaviyo that may misbehave until the end of the test."""
    yield stage.klaviyo
    await stage.send(f"{stage.klaviyo}/sandbox/faults", method="DELETE")
    await set_keys(stage, {DEFAULT_KEY: ["*"]})


async def test_somebody_klaviyo_knows_well(stage: Stage, page: Page) -> None:
    person = await customer(stage, email=KNOWN, phone="+12025550123", firstName="Cleo", lastName="Lantern")
    await stage.send(f"{stage.kustomer}/sandbox/conversations", {"customer": person, "subject": "Hello"})
    card = await has_face(await open_card(page, stage, person), "known")
    await expect(card.get_by_role("heading", level=1)).to_have_text("Cleo Lantern")
    for heading in ("Consent", "Campaigns", "Flow messages", "Lists", "Segments", "Predicted"):
        await expect(card.get_by_role("heading", name=heading, exact=True)).to_be_visible()
    await expect(card.get_by_text("Lifetime value")).to_be_visible()
    await expect(card.locator("dd", has_text="$")).to_have_count(1)
    await expect(card.locator("footer")).to_have_text("Klaviyo account Sandbox Shop (SbxKlv) · as of just now")
    await shoot(page, "desktop")
    async with page.context.expect_page() as opened:
        await card.get_by_role("link", name="Newsletter").click()
    await expect((await opened.value).get_by_role("heading", name="Newsletter")).to_be_visible()
    await expect((await opened.value).get_by_text(KNOWN)).to_be_visible()


async def test_somebody_who_gets_texts_and_may_be_written_to_on_whatsapp(stage: Stage, page: Page) -> None:
    person = await customer(stage, phone=TEXTED, firstName="Wendy")
    card = await has_face(await open_card(page, stage, person), "known")
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
    await shoot(page, "card-texts")


async def test_every_campaign_on_the_card_leads_to_it_in_klaviyo(stage: Stage, page: Page) -> None:
    person = await customer(stage, email="nora@lanternpost.example")
    card = await has_face(await open_card(page, stage, person), "known")
    links = await card.get_by_role("link").evaluate_all("all => all.map(one => one.href)")
    assert any("/campaign/" in link for link in links)
    assert any("/flow/" in link for link in links)
    for link in links:
        async with stage.session.get(link) as response:
            assert response.status == 200, link


async def test_somebody_whom_marketing_never_wrote_to(stage: Stage, page: Page) -> None:
    addresses = (f"quiet{n}@lanternpost.example" for n in range(1000))
    person = await customer(stage, email=next(one for one in addresses if random.Random(one).random() < STRANGERS))
    card = await has_face(await open_card(page, stage, person), "known")
    for said in ("None in the last 90 days.", "On no list.", "In no segment."):
        await expect(card.get_by_text(said)).to_be_visible()
    await expect(card.get_by_role("heading", name="Predicted")).to_have_count(0)
    await shoot(page, "card-empty")


async def test_somebody_klaviyo_does_not_know(stage: Stage, page: Page) -> None:
    person = await customer(stage, email="erased@lanternpost.example")
    wanted = {"profile": {"data": {"type": "profile", "attributes": {"email": "erased@lanternpost.example"}}}}
    await klaviyo_api(stage, "data-privacy-deletion-jobs", "data-privacy-deletion-job", wanted)
    await stage.until(lambda: is_erased(stage, "erased@lanternpost.example"), "the profile is erased")
    card = await has_face(await open_card(page, stage, person), "unknown")
    await expect(card).to_contain_text("Klaviyo knows nobody with this customer's email or phone.")
    await shoot(page, "card-unknown")


async def is_erased(stage: Stage, email: str) -> bool:
    return email not in [one["email"] for one in await stage.get(f"{stage.klaviyo}/sandbox/profiles")]


async def test_somebody_without_any_address(stage: Stage, page: Page) -> None:
    person = await customer(stage, profile=False, firstName="Nameless")
    card = await has_face(await open_card(page, stage, person), "no_contact")
    await expect(card).to_contain_text("neither an email nor a phone number")
    await shoot(page, "card-no-contact")


async def test_somebody_with_several_addresses_and_profiles(stage: Stage, page: Page) -> None:
    await klaviyo_api(stage, "profile-import", "profile", {"email": "second@lanternpost.example"})
    emails = [{"email": "first@lanternpost.example", "verified": True}, {"email": "second@lanternpost.example"}]
    person = await customer(stage, emails=emails)
    card = await has_face(await open_card(page, stage, person), "known")
    await expect(card.get_by_text("also ")).to_have_text("also s...@lanternpost.example")
    await expect(card).to_contain_text("more than one profile")
    assert "second@lanternpost.example" not in await card.inner_html()
    await shoot(page, "card-several")


async def test_klaviyo_is_away(stage: Stage, page: Page, klaviyo: str) -> None:
    await stage.misbehave(klaviyo, kind="status", path="/api/", status=503)
    person = await customer(stage, profile=False, email="away@lanternpost.example")
    card = await has_face(await open_card(page, stage, person), "away")
    await expect(card).to_contain_text("Klaviyo does not answer at the moment.")
    await shoot(page, "card-away")


async def test_klaviyo_refuses_the_key(stage: Stage, page: Page, klaviyo: str) -> None:
    assert klaviyo
    person = await customer(stage, email="locked@lanternpost.example")
    await set_keys(stage, {})
    card = await has_face(await open_card(page, stage, person), "locked_out")
    await expect(card).to_contain_text("An admin must put in a new one.")
    await shoot(page, "card-locked-out")


async def test_a_scope_that_is_missing_costs_its_part_and_is_named(stage: Stage, page: Page, klaviyo: str) -> None:
    assert klaviyo
    person = await customer(stage, email="partly@lanternpost.example")
    scopes = ["profiles:read", "profiles:write", "events:read", "events:write", "metrics:read", "segments:read"]
    await set_keys(stage, {DEFAULT_KEY: scopes})
    card = await has_face(await open_card(page, stage, person), "known")
    await expect(card.locator(".note")).to_contain_text("lacks the scope lists:read")
    await expect(card.get_by_text("Not known.")).to_be_visible()
    await shoot(page, "card-partly")


async def test_a_slow_klaviyo_is_not_waited_for_and_the_card_completes_itself(
    stage: Stage, page: Page, klaviyo: str
) -> None:
    person = await customer(stage, email="slow@lanternpost.example")
    await stage.misbehave(klaviyo, kind="slow", path="/api/profiles", delay=3)
    card = await open_card(page, stage, person)
    await expect(await has_face(card, "fetching")).to_contain_text("Asking Klaviyo")
    await has_face(card, "known")


async def test_what_klaviyo_holds_is_text_and_never_markup(stage: Stage, page: Page) -> None:
    await klaviyo_api(
        stage, "profile-import", "profile", {"email": "evil@lanternpost.example", "first_name": "<img src=x onerror=1>"}
    )
    person = await customer(stage, email="evil@lanternpost.example")
    card = await has_face(await open_card(page, stage, person), "known")
    await expect(card.get_by_role("heading", level=1)).to_have_text("<img src=x onerror=1>")
    await expect(card.locator("img")).to_have_count(0)


async def test_an_odd_character_in_one_name_costs_nobody_a_card(stage: Stage, page: Page) -> None:
    await klaviyo_api(stage, "profile-import", "profile", {"email": "odd@lanternpost.example", "first_name": "O\0d"})
    odd = await customer(stage, email="odd@lanternpost.example")
    even = await customer(stage, email="even@lanternpost.example")
    for person in (odd, even):
        await has_face(await open_card(page, stage, person), "known")


async def test_another_customers_card_never_stands_in_for_this_ones(stage: Stage, page: Page) -> None:
    known = await customer(stage, email="one@lanternpost.example", firstName="One")
    nameless = await customer(stage, profile=False, firstName="Two")
    await has_face(await open_card(page, stage, known), "known")
    await page.evaluate("document.querySelector('#panel iframe').mark = 'the same frame'")
    await page.locator(f"[data-customer='{nameless}']").click()
    card = await has_face(page.frame_locator("#panel iframe"), "no_contact")
    assert "one@" not in await card.inner_html()
    assert await page.evaluate("document.querySelector('#panel iframe').mark") == "the same frame"


async def test_only_the_organisations_kustomer_may_frame_the_card(stage: Stage, page: Page) -> None:
    async with stage.session.get(f"{stage.service}/card/sandbox?command=x") as response:
        policy = response.headers["Content-Security-Policy"]
        html = await response.text()
    assert f"frame-ancestors {stage.kustomer}" in policy
    assert "default-src 'none'" in policy
    assert f"script-src 'self' {stage.kustomer};" in policy
    secrets = (await stage.get(f"{stage.kustomer}/sandbox/secrets")).values()
    assert secrets
    assert not any(secret in html for secret in secrets)
    await page.goto(f"{stage.klaviyo}/sandbox/state")
    async with page.expect_console_message(lambda said: "frame-ancestors" in said.text):
        await page.evaluate(
            "url => { const frame = document.createElement('iframe'); frame.src = url; document.body.append(frame); }",
            f"{stage.service}/card/sandbox?command=x",
        )


async def test_the_next_order_is_the_same_day_everywhere(stage: Stage, browser: Browser) -> None:
    person = await customer(stage, email="gwen@lanternpost.example")
    days = set()
    for zone in ("America/Los_Angeles", "Pacific/Auckland"):
        page = await browser.new_page(timezone_id=zone)
        card = await has_face(await open_card(page, stage, person), "known")
        days.add(await card.locator("dd", has_text="about ").inner_text())
        await page.close()
    assert len(days) == 1


async def test_without_kustomers_script_the_page_says_so(stage: Stage, page: Page) -> None:
    await page.route("**/desktop/cards-sdk.js", lambda route: route.abort())
    await page.goto(f"{stage.service}/card/sandbox?command=x")
    await expect(page.locator("main")).to_contain_text("script for cards could not be loaded")


async def test_the_secret_never_reaches_the_browser(stage: Stage, page: Page) -> None:
    seen: list[str] = []
    page.on("request", lambda request: seen.append(f"{request.url} {request.headers} {request.post_data}"))
    person = await customer(stage, email="secret@lanternpost.example")
    card = await has_face(await open_card(page, stage, person), "known")
    seen.append(await card.inner_html())
    secrets = [str(value) for value in (await stage.get(f"{stage.kustomer}/sandbox/secrets")).values()]
    assert any("cardSecret" in one for one in seen), "the command was run"
    assert not [one for one in seen for secret in secrets if secret in one]


async def test_klaviyos_limit_is_used_up(stage: Stage, page: Page, klaviyo: str) -> None:
    await stage.misbehave(klaviyo, kind="throttle", path="/api/profiles", retry_after=3)
    person = await customer(stage, profile=False, email="throttled@lanternpost.example")
    card = await has_face(await open_card(page, stage, person), "throttled")
    await expect(card).to_contain_text("this card is next in line")
    await shoot(page, "card-throttled")
