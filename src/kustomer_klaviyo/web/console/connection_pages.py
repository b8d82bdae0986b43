"""The overview of all connections, and the page of one connection: its state, its keys, its card."""

from typing import Any

from litestar import Controller, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath
from litestar.response import Redirect, Template

from kustomer_klaviyo.klaviyo.scopes import key_page_url
from kustomer_klaviyo.reasons import sentence
from kustomer_klaviyo.runtime.connection_health import health_status, problems
from kustomer_klaviyo.setup.key_checks import KlaviyoCheck, KustomerCheck, missing
from kustomer_klaviyo.setup.setup_error import SetupError
from kustomer_klaviyo.setup.wizard import SetupWizard
from kustomer_klaviyo.store import reports
from kustomer_klaviyo.store.connections import Connection, Connections
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.reports import Search
from kustomer_klaviyo.web.console.forms import read_form
from kustomer_klaviyo.web.console.guard import VIEWER
from kustomer_klaviyo.web.console.messages import Notice, notice_text
from kustomer_klaviyo.web.console.rendering import PageRequest, page

MAX_UNPROCESSED = 20
"""Webhooks that were not processed, shown on the page of a connection."""


async def provide_connection(connections: NamedDependency[Connections], connection_id: FromPath[str]) -> Connection:
    """Return the connection of the path. Raises NotFound."""
    return await connections.require(connection_id)


class OverviewController(Controller):
    """All connections."""

    opt = VIEWER

    @get("/")
    async def overview(self, request: PageRequest, db: NamedDependency[Database]) -> Template:
        """Show all connections."""
        rows = [row | {"status": health_status(row)} for row in await reports.status(db)]
        return page(request, "overview.html", rows=rows)


class ConnectionController(Controller):
    """One connection."""

    path = "/connections/{connection_id:str}"
    dependencies = {"connection": Provide(provide_connection)}  # noqa: RUF012 - as Litestar declares it

    @get(opt=VIEWER)
    async def show(
        self, request: PageRequest, db: NamedDependency[Database], connection: NamedDependency[Connection]
    ) -> Template:
        """Show the connection."""
        return await _connection_page(request, db, connection)

    @post("/key")
    async def add_klaviyo_key(
        self,
        request: PageRequest,
        db: NamedDependency[Database],
        wizard: NamedDependency[SetupWizard],
        connections: NamedDependency[Connections],
        connection: NamedDependency[Connection],
    ) -> Template:
        """Check a new Klaviyo key and use it."""
        form = await read_form(request)
        try:
            check = await wizard.add_klaviyo_key(connection, form.get("key", ""))
        except SetupError as error:
            return await _connection_page(request, db, connection, error=str(error))
        message = notice_text(Notice.KLAVIYO_KEY_ADDED, missing(check.checks, required=False))
        updated = await connections.get(connection.id) or connection
        return await _connection_page(request, db, updated, message=message)

    @post("/kustomer-key")
    async def set_kustomer_key(
        self,
        request: PageRequest,
        db: NamedDependency[Database],
        wizard: NamedDependency[SetupWizard],
        connection: NamedDependency[Connection],
    ) -> Template:
        """Check a new Kustomer key and use it."""
        form = await read_form(request)
        try:
            check = await wizard.set_kustomer_key(connection, form.get("key", ""))
        except SetupError as error:
            return await _connection_page(request, db, connection, error=str(error))
        message = notice_text(Notice.KUSTOMER_KEY_REPLACED, missing(check.checks, required=False))
        return await _connection_page(request, db, connection, message=message)

    @post("/remove-fallback-key")
    async def remove_fallback_key(
        self, wizard: NamedDependency[SetupWizard], connection: NamedDependency[Connection]
    ) -> Redirect:
        """Remove the fallback Klaviyo key."""
        await wizard.remove_fallback_key(connection)
        return Redirect(f"/connections/{connection.id}", status_code=303)

    @post("/check")
    async def check_keys(
        self,
        request: PageRequest,
        db: NamedDependency[Database],
        wizard: NamedDependency[SetupWizard],
        connection: NamedDependency[Connection],
    ) -> Template:
        """Check what both keys may do."""
        try:
            checks = await wizard.check_keys(connection)
        except SetupError as error:
            return await _connection_page(request, db, connection, error=str(error))
        return await _connection_page(request, db, connection, key_checks=checks)

    @post("/card")
    async def install_card(
        self,
        request: PageRequest,
        db: NamedDependency[Database],
        wizard: NamedDependency[SetupWizard],
        connection: NamedDependency[Connection],
    ) -> Template:
        """Install the card in Kustomer."""
        try:
            result = await wizard.install_card(connection)
        except SetupError as error:
            return await _connection_page(request, db, connection, error=str(error))
        message = notice_text(Notice.CARD_INSTALLED if result.changed else Notice.CARD_UNCHANGED)
        return await _connection_page(request, db, result.connection, message=message)


async def _connection_page(
    request: PageRequest,
    db: Database,
    connection: Connection,
    *,
    error: str = "",
    message: str = "",
    key_checks: tuple[KlaviyoCheck, KustomerCheck] | None = None,
) -> Template:
    rows = await reports.status(db)
    row = next(row for row in rows if row["id"] == connection.id)
    return page(
        request,
        "connection.html",
        status=400 if error else 200,
        connection=connection,
        row=row,
        status_word=health_status(row),
        problems=problems(row),
        keys=[f"...{key[-4:]}" for key in connection.secrets.klaviyo_keys],
        key_page=key_page_url(),
        error=error,
        message=message,
        key_checks=key_checks,
        unprocessed=await _unprocessed_webhooks(db, connection.id),
    )


async def _unprocessed_webhooks(db: Database, connection_id: str) -> list[dict[str, Any]]:
    rows = await reports.unprocessed_events(db, Search(connection=connection_id, limit=MAX_UNPROCESSED))
    return [row | {"reason_text": sentence(row["reason"], row["note"])} for row in rows]
