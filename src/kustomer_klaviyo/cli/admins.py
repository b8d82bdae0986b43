"""``admins``: the users of the web console."""

import asyncio
from typing import Annotated

from cyclopts import App, Parameter

from kustomer_klaviyo.auth.authenticator import INVITATION_HOURS
from kustomer_klaviyo.cli.errors import ExitCode, UsageError
from kustomer_klaviyo.cli.output import print_json, print_line
from kustomer_klaviyo.service import open_app
from kustomer_klaviyo.settings import Settings, load_settings
from kustomer_klaviyo.store.users import Role, User, Users

admins = App(name="admins", help="The users of the web console: admins change settings, viewers only read.")


@admins.command(name="list")
def list_(*, json: Annotated[bool, Parameter(name="--json", negative="")] = False) -> int:
    """List the users.

    Parameters
    ----------
    json
        Print JSON.
    """
    users = asyncio.run(_all())
    if json:
        print_json([{"email": user.email, "role": user.role} for user in users])
        return ExitCode.DONE
    for user in users:
        print_line(f"{user.email}  {user.role}")
    return ExitCode.DONE


@admins.command
def invite(role: Role = Role.ADMIN) -> int:
    """Print a one-time link that creates an admin or a viewer; it is valid for a day.

    Example: kustomer-klaviyo admins invite viewer

    Parameters
    ----------
    role
        admin or viewer.
    """
    settings = load_settings()
    print_line(asyncio.run(_invite(settings, role)))
    if settings.public_url is None:
        print_line("If the service has another address, replace the part before /invitation/...", style="dim")
    return ExitCode.DONE


@admins.command
def remove(email: str) -> int:
    """Delete a user and end all sessions of the user.

    Parameters
    ----------
    email
        The user's email address.
    """
    if not asyncio.run(_remove(email)):
        raise UsageError(f"There is no user {email}.")
    return ExitCode.DONE


async def _all() -> list[User]:
    async with open_app(load_settings()) as app:
        return await Users(app.db).all()


async def _invite(settings: Settings, role: Role) -> str:
    if settings.oidc is not None:
        raise UsageError("Users sign in with the provider: KUSTOMER_KLAVIYO_OIDC_ADMINS and _VIEWERS say who may.")
    async with open_app(settings) as app:
        token = await Users(app.db).invite(role, hours=INVITATION_HOURS)
        return f"{settings.base_url}/invitation/{token}"


async def _remove(email: str) -> bool:
    async with open_app(load_settings()) as app:
        return await Users(app.db).remove(email)
