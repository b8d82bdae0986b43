"""``admins``: who may see the pages."""

import asyncio
from typing import Annotated

from cyclopts import App, Parameter

from kustomer_klaviyo.auth.authenticator import INVITATION_HOURS
from kustomer_klaviyo.cli.failures import ExitCode, UsageError
from kustomer_klaviyo.cli.output import print_json, say
from kustomer_klaviyo.service import house
from kustomer_klaviyo.settings import Settings, load_settings
from kustomer_klaviyo.store.users import Account, Accounts, Role

admins = App(name="admins", help="Who may see the pages: admins, who set up, and viewers, who look.")


@admins.command(name="list")
def list_(*, json: Annotated[bool, Parameter(name="--json", negative="")] = False) -> int:
    """List the accounts.

    Parameters
    ----------
    json
        Print JSON for a program.
    """
    found = asyncio.run(_all())
    if json:
        print_json([{"email": one.email, "role": one.role} for one in found])
    for one in [] if json else found:
        say(f"{one.email}  {one.role}")
    return ExitCode.DONE


@admins.command
def invite(role: Role = Role.ADMIN) -> int:
    """Print a one-time link by which somebody becomes an admin or a viewer; it holds for a day.

    Example: kustomer-klaviyo admins invite viewer

    Parameters
    ----------
    role
        admin or viewer.
    """
    settings = load_settings()
    say(asyncio.run(_invite(settings, role)))
    if settings.public_url is None:
        say("If you reach the service at another address, put that before /invitation/...", style="dim")
    return ExitCode.DONE


@admins.command
def remove(email: str) -> int:
    """Remove an account and end its sessions.

    Parameters
    ----------
    email
        Whose.
    """
    if not asyncio.run(_remove(email)):
        raise UsageError(f"There is no account of {email}.")
    return ExitCode.DONE


async def _all() -> list[Account]:
    async with house(load_settings()) as home:
        return await Accounts(home.database).all()


async def _invite(settings: Settings, role: Role) -> str:
    if settings.sign_on is not None:
        raise UsageError("People sign in with the provider: KUSTOMER_KLAVIYO_OIDC_ADMINS and _VIEWERS say who may.")
    async with house(settings) as home:
        token = await Accounts(home.database).invite(role, hours=INVITATION_HOURS)
        return f"{settings.site}/invitation/{token}"


async def _remove(email: str) -> bool:
    async with house(load_settings()) as home:
        return await Accounts(home.database).remove(email)
