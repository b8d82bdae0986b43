"""The pages of set-up: the Klaviyo key, the Kustomer key, the metric names, and the summary."""

from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath
from litestar.response import Redirect, Template

from kustomer_klaviyo.klaviyo.metric_names import KNOWN_NAMES, shared_metric_names
from kustomer_klaviyo.klaviyo.scopes import NATIVE_APP_SCOPES, PROBES, key_page_url
from kustomer_klaviyo.setup.key_checks import MissingScopes, ScopeCheck
from kustomer_klaviyo.setup.service_urls import KLAVIYO_URL
from kustomer_klaviyo.setup.setup_error import SetupError
from kustomer_klaviyo.setup.wizard import SetupWizard
from kustomer_klaviyo.store import counters
from kustomer_klaviyo.store.connections import Connection, NotFound
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.setup_drafts import SetupDraft, SetupDrafts
from kustomer_klaviyo.web.console.connection_pages import provide_connection
from kustomer_klaviyo.web.console.forms import read_form
from kustomer_klaviyo.web.console.guard import current_user
from kustomer_klaviyo.web.console.rendering import PageRequest, page

STEPS = ("Klaviyo", "Kustomer", "Metric names", "Done")
KUSTOMER_FIELDS = ("organisation", "public_url", "name", "url")


async def provide_draft(
    request: PageRequest, drafts: NamedDependency[SetupDrafts], draft_id: FromPath[str]
) -> SetupDraft:
    """Return the user's draft of the path. Raises NotFound."""
    draft = await drafts.get(current_user(request).user.id, draft_id)
    if draft is None:
        raise NotFound
    return draft


class KlaviyoStepController(Controller):
    """Step 1: the Klaviyo key."""

    path = "/connect"

    @get(sync_to_thread=False)
    def klaviyo_form(self, request: PageRequest) -> Template:
        """Show the form."""
        return _klaviyo_page(request)

    @post()
    async def submit_klaviyo(
        self, request: PageRequest, wizard: NamedDependency[SetupWizard], drafts: NamedDependency[SetupDrafts]
    ) -> Response[Any]:
        """Check the key and save a draft."""
        form, draft = await read_form(request), SetupDraft()
        site_id, url = form.get("site_id", ""), form.get("url", "")
        try:
            await wizard.check_klaviyo(draft, site_id=site_id, key=form.get("key", ""), url=url)
        except SetupError as error:
            return _klaviyo_page(request, site_id=site_id, url=url, error=error)
        await drafts.save(current_user(request).user.id, draft)
        return Redirect(f"/connect/{draft.id}/kustomer", status_code=303)


def _klaviyo_page(
    request: PageRequest, *, site_id: str = "", url: str = KLAVIYO_URL, error: SetupError | None = None
) -> Template:
    return page(
        request,
        "connect_klaviyo.html",
        steps=STEPS,
        step=1,
        status=400 if error else 200,
        site_id=site_id,
        url=url,
        error=str(error or ""),
        checks=_scope_checks(error),
        key_page=key_page_url(),
        scopes=PROBES,
        native_app_scopes=NATIVE_APP_SCOPES,
    )


def _scope_checks(error: SetupError | None) -> Sequence[ScopeCheck]:
    return error.checks if isinstance(error, MissingScopes) else ()


class KustomerStepController(Controller):
    """Step 2: the Kustomer key, which creates the connection."""

    path = "/connect/{draft_id:str}/kustomer"
    dependencies = {"draft": Provide(provide_draft)}  # noqa: RUF012 - as Litestar declares it

    @get(sync_to_thread=False)
    def kustomer_form(
        self, request: PageRequest, draft: NamedDependency[SetupDraft], public_url: NamedDependency[str | None]
    ) -> Template:
        """Show the form."""
        return _kustomer_page(request, draft, public_url)

    @post()
    async def submit_kustomer(
        self,
        request: PageRequest,
        draft: NamedDependency[SetupDraft],
        wizard: NamedDependency[SetupWizard],
        drafts: NamedDependency[SetupDrafts],
        public_url: NamedDependency[str | None],
    ) -> Response[Any]:
        """Check the key and create the connection."""
        form = await read_form(request)
        fields = {name: form.get(name, "") for name in KUSTOMER_FIELDS}
        try:
            connection = await wizard.create_connection(draft, key=form.get("key", ""), **fields)
        except SetupError as error:
            return _kustomer_page(request, draft, public_url, error=error, fields=fields)
        await drafts.delete(draft.id)
        return Redirect(f"/connections/{connection.id}/metrics", status_code=303)


def _kustomer_page(
    request: PageRequest,
    draft: SetupDraft,
    public_url: str | None,
    *,
    error: SetupError | None = None,
    fields: dict[str, str] | None = None,
) -> Template:
    defaults = dict.fromkeys(KUSTOMER_FIELDS, "")
    defaults["public_url"] = public_url or str(request.base_url).rstrip("/")
    return page(
        request,
        "connect_kustomer.html",
        steps=STEPS,
        step=2,
        status=400 if error else 200,
        draft=draft,
        klaviyo_checks=msgspec.convert(draft.document["checks"], tuple[ScopeCheck, ...]),
        checks=_scope_checks(error),
        error=str(error or ""),
        form=defaults | (fields or {}),
    )


class MetricsStepController(Controller):
    """Steps 3 and 4: the metric names, and the summary."""

    path = "/connections/{connection_id:str}"
    dependencies = {"connection": Provide(provide_connection)}  # noqa: RUF012 - as Litestar declares it

    @get("/metrics")
    async def metrics_form(
        self, request: PageRequest, wizard: NamedDependency[SetupWizard], connection: NamedDependency[Connection]
    ) -> Template:
        """Show the form."""
        return await _metrics_page(request, wizard, connection)

    @post("/metrics")
    async def submit_metrics(
        self, request: PageRequest, wizard: NamedDependency[SetupWizard], connection: NamedDependency[Connection]
    ) -> Response[Any]:
        """Save the metric names."""
        form = await read_form(request)
        names = {option: form[option].strip() for option in KNOWN_NAMES if form.get(option)}
        try:
            await wizard.set_options(connection, names)
        except SetupError as error:
            return await _metrics_page(request, wizard, connection, error=str(error))
        return Redirect(f"/connections/{connection.id}/done", status_code=303)

    @get("/done")
    async def summary(
        self,
        request: PageRequest,
        db: NamedDependency[Database],
        wizard: NamedDependency[SetupWizard],
        connection: NamedDependency[Connection],
    ) -> Template:
        """Send a test event and show the result."""
        return page(
            request,
            "connect_done.html",
            steps=STEPS,
            step=4,
            connection=connection,
            error=await wizard.send_test_event(connection),
            shared_names=shared_metric_names(connection.options),
            received=await _received(db, connection.id),
        )

    @get("/first-events")
    async def first_events(
        self, request: PageRequest, db: NamedDependency[Database], connection_id: FromPath[str]
    ) -> Response[Any]:
        """Show how many events have arrived. Without any the page stays as it is, so that nothing is read aloud."""
        received = await _received(db, connection_id)
        if not received:
            return Response("", status_code=204)
        return page(request, "first_events.html", connection_id=connection_id, received=received)


async def _metrics_page(
    request: PageRequest, wizard: SetupWizard, connection: Connection, *, error: str = ""
) -> Template:
    return page(
        request,
        "connect_metrics.html",
        steps=STEPS,
        step=3,
        status=400 if error else 200,
        connection=connection,
        proposals=await wizard.propose_metrics(connection),
        error=error,
    )


async def _received(db: Database, connection_id: str) -> int:
    """Return how many events arrived from Kustomer, without test events."""
    counts = await counters.load(db, connection_id)
    return counts.get("received", 0) - counts.get("tested", 0)
