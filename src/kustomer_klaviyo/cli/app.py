"""``app``: prints or installs the Kustomer app that shows the card to agents."""

import asyncio
from typing import Annotated, Any

import aiohttp
from cyclopts import App, Parameter

from kustomer_klaviyo.cli.errors import ExitCode
from kustomer_klaviyo.cli.output import bold, print_json, print_line
from kustomer_klaviyo.cli.select_connection import select_connection
from kustomer_klaviyo.kustomer.app_definition import CardForm
from kustomer_klaviyo.kustomer.kustomer_client import KustomerClient
from kustomer_klaviyo.service import open_app
from kustomer_klaviyo.settings import load_settings
from kustomer_klaviyo.setup.kustomer_app import InstallResult, draft_app, install_app
from kustomer_klaviyo.setup.service_urls import check_url

app = App(name="app", help="The Kustomer app that shows the Klaviyo insight card.")


@app.command
def definition(*, public_url: str, connection: str | None = None, form: CardForm | None = None) -> int:
    """Print the app's definition as JSON, to read it or to register it by hand; changes nothing.

    Its version is higher than the registered one only if the definition differs.

    Example: kustomer-klaviyo app definition --connection acme --public-url https://hooks.acme.com

    Parameters
    ----------
    public_url
        Where Kustomer and the agents' browsers reach this service.
    connection
        The connection; required if there are several.
    form
        ``hosted`` shows a page of this service in a frame; with ``native`` Kustomer renders the card. By default the
        installed form, at first hosted.
    """
    print_json(asyncio.run(_definition(connection, check_url(public_url), form)))
    return ExitCode.DONE


@app.command
def install(
    *,
    public_url: str,
    connection: str | None = None,
    form: CardForm | None = None,
    new_secret: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Register and install the app in Kustomer, and set the card's secret; run it again at any time.

    The Kustomer key needs the roles org.admin.apps, org.permission.apps.read and org.permission.setting.

    Example: kustomer-klaviyo app install --connection acme --public-url https://hooks.acme.com

    Parameters
    ----------
    public_url
        Where Kustomer and the agents' browsers reach this service.
    connection
        The connection; required if there are several.
    form
        ``hosted`` shows a page of this service in a frame; with ``native`` Kustomer renders the card. By default the
        installed form, at first hosted.
    new_secret
        Replace the card's secret; the previous one is accepted until the next replacement.
    json
        Print JSON.
    """
    _report(asyncio.run(_install(connection, check_url(public_url), form, new_secret=new_secret)), json=json)
    return ExitCode.DONE


async def _definition(name: str | None, public_url: str, form: CardForm | None) -> dict[str, Any]:
    async with open_app(load_settings()) as context, aiohttp.ClientSession() as session:
        connection = await select_connection(context, name)
        client = KustomerClient(session, base_url=connection.kustomer_url, key=connection.secrets.kustomer_key)
        return (await draft_app(client, connection, public_url=public_url, form=form)).definition


async def _install(name: str | None, public_url: str, form: CardForm | None, *, new_secret: bool) -> InstallResult:
    async with open_app(load_settings()) as context, aiohttp.ClientSession() as session:
        connection = await select_connection(context, name)
        client = KustomerClient(session, base_url=connection.kustomer_url, key=connection.secrets.kustomer_key)
        return await install_app(
            client, context.connections, connection.id, public_url=public_url, form=form, rotate_secret=new_secret
        )


def _report(result: InstallResult, *, json: bool) -> None:
    installed = result.connection.kustomer_app
    if json:
        print_json(
            {
                "connection": result.connection.id,
                "app": installed["name"],
                "version": installed["version"],
                "form": installed["form"],
                "registered": result.was_registered,
                "installed": result.was_installed,
                "secret_set": result.secret_was_set,
            }
        )
        return
    print_line(bold(installed["name"]), f" {installed['version']} ({installed['form']} card)")
    print_line("  registered and installed" if result.changed else "  unchanged: it is installed already")
