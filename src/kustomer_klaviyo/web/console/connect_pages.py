"""The pages that connect two accounts: Klaviyo, Kustomer, metric names, done."""

from collections.abc import Sequence

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Redirect

from kustomer_klaviyo.klaviyo.metric_names import USUAL, shared_names
from kustomer_klaviyo.klaviyo.scopes import ORIGINAL, PROBES, key_page
from kustomer_klaviyo.setup.credentials import KLAVIYO_URL, SetupError
from kustomer_klaviyo.setup.key_checks import Finding, PoorKey
from kustomer_klaviyo.setup.wizard import Onboarding
from kustomer_klaviyo.store import counters
from kustomer_klaviyo.store.connections import Connection, Connections, NotThere
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.setup_drafts import Draft, Drafts
from kustomer_klaviyo.web.console.forms import read_form
from kustomer_klaviyo.web.console.guard import visitor_of
from kustomer_klaviyo.web.console.pages import Asked, page

STEPS = ("Klaviyo", "Kustomer", "Metric names", "Done")


class ConnectPages:
    """The steps, in the order they are walked."""

    def __init__(
        self,
        database: Database,
        connections: Connections,
        drafts: Drafts,
        onboarding: Onboarding,
        public_url: str | None,
    ) -> None:
        self._database = database
        self._connections = connections
        self._drafts = drafts
        self._onboarding = onboarding
        self._public_url = public_url

    def routes(self) -> list[HTTPRouteHandler]:
        """Make the routes."""

        @get("/connect")
        async def ask_for_klaviyo(request: Asked) -> Response[str]:
            return self._klaviyo_page(request)

        @post("/connect")
        async def take_klaviyo(request: Asked) -> Response[str]:
            return await self._take_klaviyo(request)

        @get("/connect/{draft_id:str}/kustomer")
        async def ask_for_kustomer(request: Asked, draft_id: FromPath[str]) -> Response[str]:
            return self._kustomer_page(request, await self._draft(request, draft_id))

        @post("/connect/{draft_id:str}/kustomer")
        async def take_kustomer(request: Asked, draft_id: FromPath[str]) -> Response[str]:
            return await self._take_kustomer(request, await self._draft(request, draft_id))

        @get("/connections/{name:str}/metrics")
        async def ask_for_metrics(request: Asked, name: FromPath[str]) -> Response[str]:
            return await self._metrics_page(request, await self._connections.named(name))

        @post("/connections/{name:str}/metrics")
        async def take_metrics(request: Asked, name: FromPath[str]) -> Response[str]:
            return await self._take_metrics(request, await self._connections.named(name))

        @get("/connections/{name:str}/done")
        async def summary(request: Asked, name: FromPath[str]) -> Response[str]:
            return await self._done_page(request, await self._connections.named(name))

        @get("/connections/{name:str}/arrivals")
        async def arrivals(request: Asked, name: FromPath[str]) -> Response[str]:
            received = await self._received(name)
            # Nothing is drawn anew while nothing is new: it is read aloud to some.
            return (
                page(request, "arrivals.html", name=name, received=received)
                if received
                else Response("", status_code=204)
            )

        return [
            ask_for_klaviyo, take_klaviyo, ask_for_kustomer, take_kustomer, ask_for_metrics, take_metrics, summary,
            arrivals,
        ]  # fmt: skip

    async def _draft(self, request: Asked, draft_id: str) -> Draft:
        draft = await self._drafts.get(visitor_of(request).account.id, draft_id)
        if draft is None:
            raise NotThere
        return draft

    def _klaviyo_page(
        self,
        request: Asked,
        *,
        site_id: str = "",
        url: str = KLAVIYO_URL,
        problem: str = "",
        findings: Sequence[Finding] = (),
    ) -> Response[str]:
        return page(
            request,
            "connect_klaviyo.html",
            steps=STEPS,
            step=1,
            status=400 if problem else 200,
            site_id=site_id,
            url=url,
            problem=problem,
            findings=findings,
            key_page=key_page(),
            scopes=PROBES,
            original=ORIGINAL,
        )

    async def _take_klaviyo(self, request: Asked) -> Response[str]:
        form, draft = await read_form(request), Draft()
        site_id, url = form.get("site_id", ""), form.get("url", "")
        try:
            await self._onboarding.check_klaviyo(draft, site_id=site_id, key=form.get("key", ""), url=url)
        except SetupError as error:
            findings = error.findings if isinstance(error, PoorKey) else ()
            return self._klaviyo_page(request, site_id=site_id, url=url, problem=str(error), findings=findings)
        await self._drafts.save(visitor_of(request).account.id, draft)
        return Redirect(f"/connect/{draft.id}/kustomer", status_code=303)

    def _kustomer_page(
        self,
        request: Asked,
        draft: Draft,
        *,
        problem: str = "",
        findings: Sequence[Finding] = (),
        form: dict[str, str] | None = None,
    ) -> Response[str]:
        public_url = self._public_url or str(request.base_url).rstrip("/")
        return page(
            request,
            "connect_kustomer.html",
            steps=STEPS,
            step=2,
            status=400 if problem else 200,
            draft=draft,
            scopes=msgspec.convert(draft.document["findings"], tuple[Finding, ...]),
            findings=findings,
            problem=problem,
            form={"organisation": "", "public_url": public_url, "name": "", "url": ""} | (form or {}),
        )

    async def _take_kustomer(self, request: Asked, draft: Draft) -> Response[str]:
        given = await read_form(request)
        form = {name: given.get(name, "") for name in ("organisation", "public_url", "name", "url")}
        try:
            connection = await self._onboarding.join(draft, key=given.get("key", ""), **form)
        except SetupError as error:
            findings = error.findings if isinstance(error, PoorKey) else ()
            return self._kustomer_page(request, draft, problem=str(error), findings=findings, form=form)
        await self._drafts.forget(draft.id)
        return Redirect(f"/connections/{connection.id}/metrics", status_code=303)

    async def _metrics_page(self, request: Asked, connection: Connection, *, problem: str = "") -> Response[str]:
        proposals = await self._onboarding.proposals(connection)
        return page(
            request,
            "connect_metrics.html",
            steps=STEPS,
            step=3,
            status=400 if problem else 200,
            connection=connection,
            proposals=proposals,
            problem=problem,
        )

    async def _take_metrics(self, request: Asked, connection: Connection) -> Response[str]:
        form = await read_form(request)
        names = {option: form[option].strip() for option in USUAL if form.get(option)}
        try:
            await self._onboarding.set_options(connection, names)
        except SetupError as error:
            return await self._metrics_page(request, connection, problem=str(error))
        return Redirect(f"/connections/{connection.id}/done", status_code=303)

    async def _done_page(self, request: Asked, connection: Connection) -> Response[str]:
        problem = await self._onboarding.knock(connection)
        return page(
            request,
            "connect_done.html",
            steps=STEPS,
            step=4,
            connection=connection,
            problem=problem,
            shared=shared_names(connection.options),
            received=await self._received(connection.id),
        )

    async def _received(self, name: str) -> int:
        """Return how many of Kustomer's own events arrived; the test event is none."""
        counts = await counters.of(self._database, name)
        return counts.get("received", 0) - counts.get("tested", 0)
