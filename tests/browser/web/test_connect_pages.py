"""An admin sets up a connection in a browser."""

from dataclasses import replace

from aiohttp import web
from playwright.async_api import Page, expect

from kustomer_klaviyo.klaviyo.scopes import PROBES
from kustomer_klaviyo.sandbox.http_server import run_server
from kustomer_klaviyo.sandbox.klaviyo import DEFAULT_KEY as KLAVIYO_KEY
from kustomer_klaviyo.sandbox.kustomer import DEFAULT_KEY as KUSTOMER_KEY
from support.admin_console import accept_invitation, create_invitation, fill_klaviyo_step, fill_kustomer_step, set_keys
from support.browser_launch import take_screenshot
from support.e2e_environment import E2EEnvironment


async def test_setup_from_the_invitation_to_the_first_event(environment: E2EEnvironment, page: Page) -> None:
    await accept_invitation(page, await create_invitation(environment))
    await take_screenshot(page, "overview-empty")
    await fill_klaviyo_step(page, environment)
    await expect(page.get_by_role("status")).to_contain_text("SbxKlv (Sandbox Shop)")
    await page.click("summary:has-text('Scopes of this key')")
    await expect(page.locator("td.good")).to_have_count(len(PROBES))
    await take_screenshot(page, "connect-kustomer")
    await fill_kustomer_step(page, environment)
    await expect(page.locator("#done_metric")).to_have_value("Kustomer Conversation Done")
    await page.get_by_role("button", name="Continue").click()
    await expect(page.locator("p.good").first).to_have_text("A test event sent to the webhook URL arrived.")
    await expect(page.locator("#first-events")).to_contain_text("Waiting for the first event")
    await take_screenshot(page, "connect-waiting")
    person = await environment.send(f"{environment.kustomer}/sandbox/customers", {"email": "bo@lanternpost.example"})
    await environment.send(
        f"{environment.kustomer}/sandbox/conversations", {"customer": person["id"], "subject": "Hello"}
    )
    await expect(page.locator("#first-events")).to_contain_text("have arrived")
    await take_screenshot(page, "connect-done")
    await page.get_by_role("button", name="Install the insight card").click()
    await expect(page.get_by_role("status")).to_have_text("The card is installed.")
    await take_screenshot(page, "connection")
    await page.get_by_role("button", name="Install again").click()
    await expect(page.get_by_role("status")).to_contain_text("nothing changed")
    await environment.wait_until(lambda: has_event(environment), "the event is in Klaviyo")


async def has_event(environment: E2EEnvironment) -> bool:
    return any(event["metric"] == "Kustomer Conversation Create" for event in await environment.klaviyo_events())


async def test_a_key_without_required_scopes_is_rejected_and_they_are_named(
    environment: E2EEnvironment, page: Page
) -> None:
    await accept_invitation(page, await create_invitation(environment))
    await set_keys(environment, {"pk_narrow": ["profiles:read", "lists:read"]})
    await fill_klaviyo_step(page, environment, key="pk_narrow")
    alert = page.get_by_role("alert")
    await expect(alert).to_contain_text("lacks events:write, profiles:write")
    await expect(page.locator("td.bad", has_text="(required)")).to_have_count(2)
    await take_screenshot(page, "connect-rejected")
    assert await page.input_value("#site_id") == "SbxKlv"
    assert await page.input_value("#key") == ""


async def test_a_key_without_optional_scopes_is_accepted_and_they_are_shown(
    environment: E2EEnvironment, page: Page
) -> None:
    await accept_invitation(page, await create_invitation(environment))
    await set_keys(environment, {"pk_enough": ["events:write", "profiles:read", "profiles:write"]})
    await fill_klaviyo_step(page, environment, key="pk_enough")
    await page.click("summary:has-text('Scopes of this key')")
    lists = page.locator("tr", has_text="lists:read")
    await expect(lists).to_contain_text("missing")
    await expect(lists).to_contain_text("lists on the card")
    await fill_kustomer_step(page, environment)
    await expect(page.locator("#done_metric")).to_have_value("Kustomer Conversation Done")


async def test_a_key_of_another_account_is_rejected(environment: E2EEnvironment, page: Page) -> None:
    await accept_invitation(page, await create_invitation(environment))
    await fill_klaviyo_step(page, environment, site_id="Wrong1")
    await expect(page.get_by_role("alert")).to_contain_text("belongs to the Klaviyo account SbxKlv, not Wrong1")


async def test_an_unknown_key_is_rejected(environment: E2EEnvironment, page: Page) -> None:
    await accept_invitation(page, await create_invitation(environment))
    await fill_klaviyo_step(page, environment, key="pk_made_up")
    await expect(page.get_by_role("alert")).to_contain_text("Klaviyo rejected this key")


async def test_existing_metric_names_are_proposed(environment: E2EEnvironment, page: Page) -> None:
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
    async with environment.session.post(f"{environment.klaviyo}/api/events", json=event, headers=headers) as response:
        assert response.status == 202
    await accept_invitation(page, await create_invitation(environment))
    await fill_klaviyo_step(page, environment)
    await fill_kustomer_step(page, environment)
    await expect(page.locator("#done_metric")).to_have_value("Kustomer Conversation Close")
    await expect(page.locator("#done_metric-hint")).to_have_text("Exists in the account.")
    await page.get_by_role("button", name="Continue").click()
    await page.wait_for_selector("#first-events")
    person = await environment.send(f"{environment.kustomer}/sandbox/customers", {"email": "bo@lanternpost.example"})
    talk = await environment.send(f"{environment.kustomer}/sandbox/conversations", {"customer": person["id"]})
    await environment.send(f"{environment.kustomer}/sandbox/conversations/{talk['id']}/done")
    await environment.wait_until(lambda: has_done_events(environment), "the done events have the existing metric name")
    await page.goto(f"{environment.service}/connections/sandbox/metrics")
    await page.fill("#created_metric", "Kustomer Conversation Close")
    await page.get_by_role("button", name="Continue").click()
    await expect(page.get_by_role("alert")).to_contain_text("cannot be separated")


async def has_done_events(environment: E2EEnvironment) -> bool:
    done_events = [
        event for event in await environment.klaviyo_events() if event["metric"] == "Kustomer Conversation Close"
    ]
    return len(done_events) == 2


async def test_an_unknown_kustomer_key_is_rejected(environment: E2EEnvironment, page: Page) -> None:
    await accept_invitation(page, await create_invitation(environment))
    await fill_klaviyo_step(page, environment)
    await page.wait_for_selector("#organisation")
    await fill_kustomer_step(page, environment, key="nobodys-key")
    await expect(page.get_by_role("alert")).to_contain_text("Unauthorized")
    assert await page.input_value("#organisation") == "sandbox"


async def test_a_server_that_is_not_the_vendors_api_is_reported(environment: E2EEnvironment, page: Page) -> None:
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", _html_page)
    await accept_invitation(page, await create_invitation(environment))
    async with run_server(app) as elsewhere:
        await fill_klaviyo_step(page, replace(environment, klaviyo=elsewhere))
        await expect(page.get_by_role("alert")).to_contain_text("a web page instead of Klaviyo's response")
        await fill_klaviyo_step(page, environment)
        await fill_kustomer_step(page, replace(environment, kustomer=elsewhere))
        await expect(page.get_by_role("alert")).to_contain_text("Check the address")


async def _html_page(_: web.Request) -> web.Response:
    return web.Response(text="<!doctype html><title>Sign in</title>", content_type="text/html")


async def test_a_new_kustomer_key_replaces_the_old_one(environment: E2EEnvironment, page: Page) -> None:
    await environment.connect()
    await accept_invitation(page, await create_invitation(environment))
    await page.goto(f"{environment.service}/connections/sandbox")
    await page.fill("#kustomer_key", "nobodys-key")
    await page.get_by_role("button", name="Check and replace").click()
    await expect(page.get_by_role("alert")).to_contain_text("Unauthorized")
    await page.fill("#kustomer_key", KUSTOMER_KEY)
    await page.get_by_role("button", name="Check and replace").click()
    await expect(page.get_by_role("status")).to_contain_text("The new Kustomer key is in use.")


async def test_a_signed_in_user_can_accept_an_invitation(environment: E2EEnvironment, page: Page) -> None:
    await accept_invitation(page, await create_invitation(environment))
    await accept_invitation(page, await create_invitation(environment), email="bo@acme.example")
    await expect(page.get_by_role("link", name="bo@acme.example")).to_be_visible()


async def test_a_new_klaviyo_key_keeps_the_old_one_as_fallback_and_no_event_is_lost(
    environment: E2EEnvironment, page: Page
) -> None:
    await environment.connect()
    await accept_invitation(page, await create_invitation(environment))
    await set_keys(environment, {KLAVIYO_KEY: ["*"], "pk_new_key_0001": ["*"]})
    await page.goto(f"{environment.service}/connections/sandbox")
    await page.fill("#key", "pk_new_key_0001")
    await page.get_by_role("button", name="Check and use").click()
    await expect(page.locator("dd", has_text="in use")).to_have_text("...0001 (in use), ...cdef (fallback)")
    await take_screenshot(page, "connection-two-keys")
    await set_keys(environment, {KLAVIYO_KEY: ["*"]})
    person = await environment.send(f"{environment.kustomer}/sandbox/customers", {"email": "bo@lanternpost.example"})

    async def fallback_is_shown() -> bool:
        await environment.send(f"{environment.kustomer}/sandbox/conversations", {"customer": person["id"]})
        return await is_shown_to_admin(page, environment, "the previous key is used")

    await environment.wait_until(fallback_is_shown, "the alert about the fallback is shown")
    await environment.assert_every_event_arrives_once()
    await page.goto(f"{environment.service}/connections/sandbox")
    await expect(page.locator("dd", has_text="in use")).to_have_text("...0001 (rejected), ...cdef (in use)")
    await expect(page.get_by_role("button", name="Remove the fallback")).to_have_count(0)
    await take_screenshot(page, "connection-fallback")
    assert "the previous key is used" in await environment.run("status", expect=1)
    await set_keys(environment, {})
    await environment.send(f"{environment.kustomer}/sandbox/conversations", {"customer": person["id"]})
    await environment.wait_until(
        lambda: is_shown_to_admin(page, environment, "deliveries are paused, and new events wait"), "the pause is shown"
    )
    await take_screenshot(page, "connection-paused")
    await set_keys(environment, {"pk_third_key_02": ["*"]})
    await page.goto(f"{environment.service}/connections/sandbox")
    await page.fill("#key", "pk_third_key_02")
    await page.get_by_role("button", name="Check and use").click()
    await environment.assert_every_event_arrives_once()


async def is_shown_to_admin(page: Page, environment: E2EEnvironment, text: str) -> bool:
    await page.goto(environment.service)
    return text in str(await page.inner_text("body"))


async def test_an_unreadable_webhook_is_shown_with_its_first_bytes_escaped(
    environment: E2EEnvironment, page: Page
) -> None:
    await environment.connect()
    await environment.send(f"{environment.kustomer}/sandbox/corrupt-webhooks", {"corruption": "page"})
    await environment.send(f"{environment.kustomer}/sandbox/customers", {"name": "Ada"})
    await accept_invitation(page, await create_invitation(environment))
    unprocessed = page.get_by_role("region", name="Unprocessed webhooks")

    async def is_shown() -> bool:
        await page.goto(f"{environment.service}/connections/sandbox")
        return await unprocessed.count() == 1

    await environment.wait_until(is_shown, "the webhook is shown")
    await expect(unprocessed).to_contain_text("unreadable: the body is no JSON object")
    await expect(unprocessed).to_contain_text("<!DOCTYPE html><title>502 Bad Gateway</title>")
