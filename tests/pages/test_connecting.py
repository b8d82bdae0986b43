"""An admin connects both accounts in a browser."""

from dataclasses import replace

from aiohttp import web
from playwright.async_api import Page, expect

from admin import become, give_klaviyo_key, give_kustomer_key, invited, set_keys
from browser import shoot
from kustomer_klaviyo.klaviyo.scopes import PROBES
from kustomer_klaviyo.sandbox.klaviyo import DEFAULT_KEY as KLAVIYO_KEY
from kustomer_klaviyo.sandbox.kustomer import DEFAULT_KEY as KUSTOMER_KEY
from kustomer_klaviyo.sandbox.serving import serving
from stage import Stage


async def test_from_the_first_link_to_the_first_event(stage: Stage, page: Page) -> None:
    await become(page, await invited(stage))
    await shoot(page, "overview-empty")
    await give_klaviyo_key(page, stage)
    await expect(page.get_by_role("status")).to_contain_text("SbxKlv (Sandbox Shop)")
    await page.click("summary:has-text('What this key may do')")
    await expect(page.locator("td.good")).to_have_count(len(PROBES))
    await shoot(page, "connect-kustomer")
    await give_kustomer_key(page, stage)
    await expect(page.locator("#closed_metric")).to_have_value("Kustomer Conversation Done")
    await page.get_by_role("button", name="Go on").click()
    await expect(page.locator("p.good").first).to_have_text("A test event sent to the webhook's address arrived.")
    await expect(page.locator("#arrivals")).to_contain_text("Waiting for the first event")
    await shoot(page, "connect-waiting")
    person = await stage.send(f"{stage.kustomer}/sandbox/customers", {"email": "bo@lanternpost.example"})
    await stage.send(f"{stage.kustomer}/sandbox/conversations", {"customer": person["id"], "subject": "Hello"})
    await expect(page.locator("#arrivals")).to_contain_text("have arrived")
    await shoot(page, "connect-done")
    await page.get_by_role("button", name="Install the insight card").click()
    await expect(page.get_by_role("status")).to_have_text("The card is installed.")
    await shoot(page, "connection")
    await page.get_by_role("button", name="Install it again").click()
    await expect(page.get_by_role("status")).to_contain_text("nothing had to change")
    await stage.until(lambda: has_event(stage), "the event is in Klaviyo")


async def has_event(stage: Stage) -> bool:
    return any(event["metric"] == "Kustomer Conversation Create" for event in await stage.arrived())


async def test_a_key_that_lacks_what_is_needed_is_refused_with_the_names(stage: Stage, page: Page) -> None:
    await become(page, await invited(stage))
    await set_keys(stage, {"pk_narrow": ["profiles:read", "lists:read"]})
    await give_klaviyo_key(page, stage, key="pk_narrow")
    problem = page.get_by_role("alert")
    await expect(problem).to_contain_text("lacks events:write, profiles:write")
    await expect(page.locator("td.bad", has_text="(needed)")).to_have_count(2)
    await shoot(page, "connect-refused")
    assert await page.input_value("#site_id") == "SbxKlv"
    assert await page.input_value("#key") == ""


async def test_a_key_that_lacks_something_useful_is_taken_and_said_so(stage: Stage, page: Page) -> None:
    await become(page, await invited(stage))
    await set_keys(stage, {"pk_enough": ["events:write", "profiles:read", "profiles:write"]})
    await give_klaviyo_key(page, stage, key="pk_enough")
    await page.click("summary:has-text('What this key may do')")
    lists = page.locator("tr", has_text="lists:read")
    await expect(lists).to_contain_text("missing")
    await expect(lists).to_contain_text("lists on the card")
    await give_kustomer_key(page, stage)
    await expect(page.locator("#closed_metric")).to_have_value("Kustomer Conversation Done")


async def test_a_key_of_another_account_is_refused(stage: Stage, page: Page) -> None:
    await become(page, await invited(stage))
    await give_klaviyo_key(page, stage, site_id="Wrong1")
    await expect(page.get_by_role("alert")).to_contain_text("belongs to the Klaviyo account SbxKlv, not Wrong1")


async def test_a_key_that_klaviyo_does_not_know_is_refused(stage: Stage, page: Page) -> None:
    await become(page, await invited(stage))
    await give_klaviyo_key(page, stage, key="pk_made_up")
    await expect(page.get_by_role("alert")).to_contain_text("Klaviyo refuses this key")


async def test_metric_names_that_the_account_has_are_proposed(stage: Stage, page: Page) -> None:
    headers = {"Authorization": f"Klaviyo-API-Key {KLAVIYO_KEY}", "revision": "2026-07-15"}
    event = {
        "data": {
            "type": "event",
            "attributes": {
                "properties": {},
                "metric": {"data": {"type": "metric", "attributes": {"name": "Kustomer Conversation Close"}}},
                "profile": {"data": {"type": "profile", "attributes": {"email": "old@lanternpost.example"}}},
            },
        }
    }
    async with stage.session.post(f"{stage.klaviyo}/api/events", json=event, headers=headers) as response:
        assert response.status == 202
    await become(page, await invited(stage))
    await give_klaviyo_key(page, stage)
    await give_kustomer_key(page, stage)
    await expect(page.locator("#closed_metric")).to_have_value("Kustomer Conversation Close")
    await expect(page.locator("#closed_metric-hint")).to_have_text("In the account already.")
    await page.get_by_role("button", name="Go on").click()
    await page.wait_for_selector("#arrivals")
    person = await stage.send(f"{stage.kustomer}/sandbox/customers", {"email": "bo@lanternpost.example"})
    talk = await stage.send(f"{stage.kustomer}/sandbox/conversations", {"customer": person["id"]})
    await stage.send(f"{stage.kustomer}/sandbox/conversations/{talk['id']}/done")
    await stage.until(lambda: has_closing(stage), "the closing has the name that was there")
    await page.goto(f"{stage.service}/connections/sandbox/metrics")
    await page.fill("#created_metric", "Kustomer Conversation Close")
    await page.get_by_role("button", name="Go on").click()
    await expect(page.get_by_role("alert")).to_contain_text("cannot be told apart")


async def has_closing(stage: Stage) -> bool:
    closings = [event for event in await stage.arrived() if event["metric"] == "Kustomer Conversation Close"]
    return len(closings) == 2


async def test_a_kustomer_key_without_its_roles_is_refused(stage: Stage, page: Page) -> None:
    await become(page, await invited(stage))
    await give_klaviyo_key(page, stage)
    await page.wait_for_selector("#organisation")
    await give_kustomer_key(page, stage, key="nobodys-key")
    await expect(page.get_by_role("alert")).to_contain_text("Unauthorized")
    assert await page.input_value("#organisation") == "sandbox"


async def test_what_is_not_the_vendors_api_is_told_so(stage: Stage, page: Page) -> None:
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", _a_page_of_something_else)
    await become(page, await invited(stage))
    async with serving(app) as elsewhere:
        await give_klaviyo_key(page, replace(stage, klaviyo=elsewhere))
        await expect(page.get_by_role("alert")).to_contain_text("a web page instead of Klaviyo's answer")
        await give_klaviyo_key(page, stage)
        await give_kustomer_key(page, replace(stage, kustomer=elsewhere))
        await expect(page.get_by_role("alert")).to_contain_text("Is the address right?")


async def _a_page_of_something_else(_: web.Request) -> web.Response:
    return web.Response(text="<!doctype html><title>Sign in</title>", content_type="text/html")


async def test_a_new_kustomer_key_takes_the_place_of_the_old_one(stage: Stage, page: Page) -> None:
    await stage.connect()
    await become(page, await invited(stage))
    await page.goto(f"{stage.service}/connections/sandbox")
    await page.fill("#kustomer_key", "nobodys-key")
    await page.get_by_role("button", name="Check and replace it").click()
    await expect(page.get_by_role("alert")).to_contain_text("Unauthorized")
    await page.fill("#kustomer_key", KUSTOMER_KEY)
    await page.get_by_role("button", name="Check and replace it").click()
    await expect(page.get_by_role("status")).to_contain_text("The new Kustomer key is in use.")


async def test_who_is_signed_in_may_still_use_a_one_time_link(stage: Stage, page: Page) -> None:
    await become(page, await invited(stage))
    await become(page, await invited(stage), email="bo@acme.example")
    await expect(page.get_by_role("link", name="bo@acme.example")).to_be_visible()


async def test_a_new_key_goes_in_beside_the_old_one_and_nothing_is_lost(stage: Stage, page: Page) -> None:
    await stage.connect()
    await become(page, await invited(stage))
    await set_keys(stage, {KLAVIYO_KEY: ["*"], "pk_new_key_0001": ["*"]})
    await page.goto(f"{stage.service}/connections/sandbox")
    await page.fill("#key", "pk_new_key_0001")
    await page.get_by_role("button", name="Check and use it").click()
    await expect(page.locator("dd", has_text="in use")).to_have_text("...0001 (in use), ...cdef (fallback)")
    await shoot(page, "connection-two-keys")
    await set_keys(stage, {KLAVIYO_KEY: ["*"]})
    person = await stage.send(f"{stage.kustomer}/sandbox/customers", {"email": "bo@lanternpost.example"})

    async def is_told_of_the_fallback() -> bool:
        await stage.send(f"{stage.kustomer}/sandbox/conversations", {"customer": person["id"]})
        return await is_told(page, stage, "the one before it is used")

    await stage.until(is_told_of_the_fallback, "the admin is told")
    await stage.assert_every_event_arrives_once()
    await page.goto(f"{stage.service}/connections/sandbox")
    await expect(page.locator("dd", has_text="in use")).to_have_text("...0001 (refused by Klaviyo), ...cdef (in use)")
    await expect(page.get_by_role("button", name="Remove the fallback")).to_have_count(0)
    await shoot(page, "connection-fallback")
    assert "the one before it is used" in await stage.run("status", expect=1)
    await set_keys(stage, {})
    await stage.send(f"{stage.kustomer}/sandbox/conversations", {"customer": person["id"]})
    await stage.until(lambda: is_told(page, stage, "nothing is sent, and what arrives waits"), "the pause is told")
    await shoot(page, "connection-paused")
    await set_keys(stage, {"pk_third_key_02": ["*"]})
    await page.goto(f"{stage.service}/connections/sandbox")
    await page.fill("#key", "pk_third_key_02")
    await page.get_by_role("button", name="Check and use it").click()
    await stage.assert_every_event_arrives_once()


async def is_told(page: Page, stage: Stage, what: str) -> bool:
    await page.goto(stage.service)
    return what in str(await page.inner_text("body"))


async def test_a_webhook_that_cannot_be_read_is_shown_with_its_first_bytes_escaped(stage: Stage, page: Page) -> None:
    await stage.connect()
    await stage.send(f"{stage.kustomer}/sandbox/malform", {"malform": "page"})
    await stage.send(f"{stage.kustomer}/sandbox/customers", {"name": "Ada"})
    await become(page, await invited(stage))
    unread = page.get_by_role("region", name="Webhooks that were not processed as they came")

    async def is_shown() -> bool:
        await page.goto(f"{stage.service}/connections/sandbox")
        return await unread.count() == 1

    await stage.until(is_shown, "the webhook is shown")
    await expect(unread).to_contain_text("unreadable: the body is no JSON object")
    await expect(unread).to_contain_text("<!DOCTYPE html><title>502 Bad Gateway</title>")
