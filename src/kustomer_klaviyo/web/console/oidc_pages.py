"""Signing in with a provider: there and back again."""

import time

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from kustomer_klaviyo.auth.authenticator import SESSION_HOURS, Entry, Gate, NotAdmitted, TooMany
from kustomer_klaviyo.auth.oidc import UNDER_WAY_SECONDS, Begun, Provider, begin
from kustomer_klaviyo.store.encryption import Sealer, SealError
from kustomer_klaviyo.web.console.guard import ANYONE, read_cookie, with_cookie, with_session
from kustomer_klaviyo.web.console.pages import Asked, page

COOKIE = "kk_sign_on"
BACK = "/sign-in/callback"
NOT_BEGUN = "This sign-in was not begun in this browser, or too long ago. Try again."


class ProviderSignIn:
    """The two pages between which somebody is at the provider's."""

    def __init__(self, gate: Gate, provider: Provider, sealer: Sealer, public_url: str | None) -> None:
        self._gate = gate
        self._provider = provider
        self._sealer = sealer
        self._public_url = public_url

    @property
    def name(self) -> str:
        """What the button says."""
        return self._provider.settings.name

    def routes(self) -> list[HTTPRouteHandler]:
        """Make the routes."""

        @get("/sign-in/provider", opt=ANYONE)
        async def leave(request: Asked) -> Response[str]:
            return await self._leave(request)

        @get(BACK, opt=ANYONE)
        async def come_back(request: Asked) -> Response[str]:
            return await self._come_back(request)

        return [leave, come_back]

    async def _leave(self, request: Asked) -> Response[str]:
        begun = begin()
        try:
            address = await self._provider.address(begun, self._back(request))
        except NotAdmitted as no:
            return self._refused(request, no)
        response: Response[str] = Redirect(address, status_code=303)
        sealed = self._sealer.seal(msgspec.json.encode(begun)).decode()
        return with_cookie(request, response, COOKIE, sealed, seconds=UNDER_WAY_SECONDS)

    async def _come_back(self, request: Asked) -> Response[str]:
        place = request.client.host if request.client else ""
        try:
            _insist_on_a_visit(request)
            await self._gate.try_provider(place)
            entry = await self._admit(request)
        except NotAdmitted as no:
            return self._refused(request, no)
        await self._gate.forgive_provider(place)
        response = with_session(request, Redirect("/", status_code=303), entry.token, hours=SESSION_HOURS)
        return with_cookie(request, response, COOKIE, "", seconds=0)

    async def _admit(self, request: Asked) -> Entry:
        begun = self._begun(request)
        state, code, error = (request.query_params.get(name, "") for name in ("state", "code", "error"))
        if error or not code:
            raise NotAdmitted(f"{self.name} did not sign you in ({error[:100] or 'no code'}).")
        admitted = await self._provider.finish(begun, state=state, code=code, redirect_uri=self._back(request))
        return await self._gate.admit_known(admitted.identity, admitted.role)

    def _begun(self, request: Asked) -> Begun:
        """Return the sign-in that began in this browser. Raises NotAdmitted."""
        try:
            begun = msgspec.json.decode(self._sealer.open(read_cookie(request, COOKIE).encode()), type=Begun)
        except (SealError, msgspec.DecodeError) as error:
            raise NotAdmitted(NOT_BEGUN) from error
        if begun.is_over(time.time()):
            raise NotAdmitted(NOT_BEGUN)
        return begun

    def _back(self, request: Asked) -> str:
        return (self._public_url or str(request.base_url).rstrip("/")) + BACK

    @staticmethod
    def _refused(request: Asked, no: NotAdmitted) -> Response[str]:
        status = 429 if isinstance(no, TooMany) else 403
        return page(request, "message.html", status=status, title="Not signed in", text=str(no))


def _insist_on_a_visit(request: Asked) -> None:
    """Raise NotAdmitted for what a page has a browser fetch: counting it would keep out who never came here."""
    if request.headers.get("sec-fetch-dest", "document") != "document":
        raise NotAdmitted(NOT_BEGUN)
