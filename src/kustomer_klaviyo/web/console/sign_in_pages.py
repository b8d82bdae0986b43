"""Signing in and out, becoming an admin or a viewer, and one's own account."""

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Redirect

from kustomer_klaviyo.auth.authenticator import SESSION_HOURS, Gate, NotAdmitted, TooMany
from kustomer_klaviyo.auth.credential_rules import SHORTEST_PASSWORD
from kustomer_klaviyo.store.users import Accounts
from kustomer_klaviyo.web.console.forms import read_form
from kustomer_klaviyo.web.console.guard import (
    ANYONE,
    VIEWER,
    form_token,
    visitor_of,
    with_form_token,
    with_session,
    without_session,
)
from kustomer_klaviyo.web.console.oidc_pages import ProviderSignIn
from kustomer_klaviyo.web.console.pages import Asked, page


def sign_in_routes(gate: Gate, accounts: Accounts, provider: ProviderSignIn | None) -> list[HTTPRouteHandler]:
    """Make the pages; with a provider nobody has a password here."""

    def sign_in_page(request: Asked, *, email: str = "", problem: str = "", status: int = 200) -> Response[str]:
        token, name = form_token(request), None if provider is None else provider.name
        shown = page(request, "sign_in.html", status=status, csrf=token, email=email, problem=problem, provider=name)
        return with_form_token(request, shown, token)

    @get("/sign-in", opt=ANYONE, sync_to_thread=False)
    def ask_who(request: Asked) -> Response[str]:
        return Redirect("/", status_code=303) if request.state.visitor else sign_in_page(request)

    @post("/sign-in", opt=ANYONE)
    async def sign_in(request: Asked) -> Response[str]:
        form = await read_form(request)
        email, place = form.get("email", ""), request.client.host if request.client else ""
        try:
            entry = await gate.sign_in(email, form.get("password", ""), place=place)
        except NotAdmitted as no:
            return sign_in_page(request, email=email, problem=str(no), status=429 if isinstance(no, TooMany) else 403)
        return with_session(request, Redirect("/", status_code=303), entry.token, hours=SESSION_HOURS)

    @post("/sign-out", opt=VIEWER)
    async def sign_out(request: Asked) -> Response[str]:
        everywhere = "everywhere" in await read_form(request)
        await accounts.sign_out(visitor_of(request), everywhere=everywhere)
        return without_session(request, Redirect("/sign-in", status_code=303))

    ours = [ask_who, sign_in, sign_out, *_invitation_routes(gate, accounts), *_account_routes(gate)]
    return ours if provider is None else [*ours, *provider.routes()]


def _invitation_routes(gate: Gate, accounts: Accounts) -> list[HTTPRouteHandler]:
    def invitation_page(request: Asked, *, email: str = "", problem: str = "", status: int = 200) -> Response[str]:
        token = form_token(request)
        shown = page(
            request,
            "invitation.html",
            status=status,
            csrf=token,
            email=email,
            problem=problem,
            shortest=SHORTEST_PASSWORD,
        )
        return with_form_token(request, shown, token)

    @get("/invitation/{token:str}", opt=ANYONE)
    async def welcome(request: Asked, token: FromPath[str]) -> Response[str]:
        if not await accounts.is_invited(token):
            text = "This link was used already, or is too old. Ask an admin for another one."
            return page(request, "message.html", status=404, title="No such link", text=text)
        return invitation_page(request)

    @post("/invitation/{token:str}", opt=ANYONE)
    async def accept(request: Asked, token: FromPath[str]) -> Response[str]:
        form = await read_form(request)
        email = form.get("email", "")
        try:
            entry = await gate.accept(token, email, form.get("password", ""))
        except NotAdmitted as no:
            return invitation_page(request, email=email, problem=str(no), status=400)
        return with_session(request, Redirect("/", status_code=303), entry.token, hours=SESSION_HOURS)

    return [welcome, accept]


def _account_routes(gate: Gate) -> list[HTTPRouteHandler]:
    def account_page(request: Asked, *, problem: str = "", said: str = "", status: int = 200) -> Response[str]:
        return page(
            request,
            "account.html",
            status=status,
            problem=problem,
            said=said,
            shortest=SHORTEST_PASSWORD,
            takes_passwords=gate.takes_passwords,
        )

    @get("/account", opt=VIEWER, sync_to_thread=False)
    def account(request: Asked) -> Response[str]:
        return account_page(request)

    @post("/account/password", opt=VIEWER)
    async def change_password(request: Asked) -> Response[str]:
        form, visitor = await read_form(request), visitor_of(request)
        try:
            await gate.change_password(visitor, form.get("former", ""), form.get("new", ""))
        except NotAdmitted as no:
            return account_page(request, problem=str(no), status=400)
        return account_page(request, said="The password is changed, and every other session is ended.")

    return [account, change_password]
