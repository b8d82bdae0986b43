"""``app``: the Kustomer app that brings the card to the agents, printed or installed."""

import asyncio
from typing import Annotated, Any

import aiohttp
from cyclopts import App, Parameter

from kustomer_klaviyo.cli.choosing import chosen_one
from kustomer_klaviyo.cli.failures import ExitCode, UsageError
from kustomer_klaviyo.cli.output import bold, print_json, say
from kustomer_klaviyo.kustomer.app_definition import Form
from kustomer_klaviyo.kustomer.client import KustomerClient
from kustomer_klaviyo.service import house
from kustomer_klaviyo.settings import load_settings
from kustomer_klaviyo.setup.credentials import SetupError, check_address
from kustomer_klaviyo.setup.kustomer_app import Installed, draft_app, install_app

app = App(name="app", help="The Kustomer app that shows the Klaviyo insight card.")


@app.command
def definition(*, public_url: str, connection: str | None = None, form: Form | None = None) -> int:
    """Print the app's definition as JSON, to look at or to register by hand; nothing is changed.

    Its version is higher than the last registered one only when something else of it differs.

    Example: kustomer-klaviyo app definition --connection acme --public-url https://hooks.acme.com

    Parameters
    ----------
    public_url
        Where Kustomer and the agents' browsers reach this service.
    connection
        The connection; needed when there are several.
    form
        ``hosted`` shows our page in a frame; ``native`` lets Kustomer render the card itself. As it is installed by
        default, hosted at first.
    """
    made = asyncio.run(_definition(connection, _address(public_url), form))
    print_json(made)
    return ExitCode.DONE


@app.command
def install(
    *,
    public_url: str,
    connection: str | None = None,
    form: Form | None = None,
    new_secret: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Register and install the app in Kustomer, and give it the card's secret; run again at any time.

    The Kustomer key needs the roles org.admin.apps, org.permission.apps.read and org.permission.setting.

    Example: kustomer-klaviyo app install --connection acme --public-url https://hooks.acme.com

    Parameters
    ----------
    public_url
        Where Kustomer and the agents' browsers reach this service.
    connection
        The connection; needed when there are several.
    form
        ``hosted`` shows our page in a frame; ``native`` lets Kustomer render the card itself. As it is installed by
        default, hosted at first.
    new_secret
        Replace the card's secret; the former one is still accepted until the next replacement.
    json
        Print JSON for a program.
    """
    done = asyncio.run(_install(connection, _address(public_url), form, new_secret=new_secret))
    _report(done, json=json)
    return ExitCode.DONE


def _address(text: str) -> str:
    try:
        return check_address(text)
    except SetupError as error:
        raise UsageError(str(error)) from error


async def _definition(name: str | None, public_url: str, form: Form | None) -> dict[str, Any]:
    async with house(load_settings()) as home, aiohttp.ClientSession() as session:
        chosen = await chosen_one(home, name)
        client = KustomerClient(session, base_url=chosen.kustomer_url, key=chosen.secrets.kustomer_key)
        return (await draft_app(client, chosen, public_url=public_url, form=form)).definition


async def _install(name: str | None, public_url: str, form: Form | None, *, new_secret: bool) -> Installed:
    async with house(load_settings()) as home, aiohttp.ClientSession() as session:
        chosen = await chosen_one(home, name)
        client = KustomerClient(session, base_url=chosen.kustomer_url, key=chosen.secrets.kustomer_key)
        return await install_app(
            client, home.connections, chosen.id, public_url=public_url, form=form, new_secret=new_secret
        )


def _report(done: Installed, *, json: bool) -> None:
    kept = done.connection.app
    if json:
        print_json(
            {
                "connection": done.connection.id,
                "app": kept["name"],
                "version": kept["version"],
                "form": kept["form"],
                "registered": done.was_registered,
                "installed": done.was_installed,
                "secret_set": done.secret_was_set,
            }
        )
        return
    say(bold(kept["name"]), f" {kept['version']} ({kept['form']} card)")
    say("  registered and installed" if done.changed else "  nothing to do: it is installed as it should be")
