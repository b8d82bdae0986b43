"""Sign-in and sign-out, invitations, and the user's own account."""

from typing import Any

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect, Template

from kustomer_klaviyo.auth.authenticator import SESSION_HOURS, Authenticator
from kustomer_klaviyo.auth.sign_in_errors import MIN_PASSWORD_LENGTH, SignInError, TooManyAttempts
from kustomer_klaviyo.store.users import Users
from kustomer_klaviyo.web.console.forms import read_form
from kustomer_klaviyo.web.console.guard import (
    ANYONE,
    VIEWER,
    current_user,
    form_token,
    message_page,
    with_form_token,
    with_session,
    without_session,
)
from kustomer_klaviyo.web.console.messages import MessagePage, Notice, notice_text
from kustomer_klaviyo.web.console.oidc_pages import OidcSignIn
from kustomer_klaviyo.web.console.rendering import PageRequest, page


class SignInController(Controller):
    """Sign-in with a password, or the link to the provider; and sign-out."""

    @get("/sign-in", opt=ANYONE, sync_to_thread=False)
    def sign_in_form(self, request: PageRequest, oidc: NamedDependency[OidcSignIn | None]) -> Response[Any]:
        """Show the form."""
        return Redirect("/", status_code=303) if request.state.user else _sign_in_page(request, oidc)

    @post("/sign-in", opt=ANYONE)
    async def submit_sign_in(
        self,
        request: PageRequest,
        authenticator: NamedDependency[Authenticator],
        oidc: NamedDependency[OidcSignIn | None],
    ) -> Response[Any]:
        """Verify the password and start a session."""
        form = await read_form(request)
        email, client_ip = form.get("email", ""), request.client.host if request.client else ""
        try:
            session = await authenticator.sign_in(email, form.get("password", ""), client=client_ip)
        except SignInError as error:
            status = 429 if isinstance(error, TooManyAttempts) else 403
            return _sign_in_page(request, oidc, email=email, error=error.message, status=status)
        return with_session(request, Redirect("/", status_code=303), session.token, hours=SESSION_HOURS)

    @post("/sign-out", opt=VIEWER)
    async def sign_out(self, request: PageRequest, users: NamedDependency[Users]) -> Response[Any]:
        """End this session, or all sessions of the user."""
        everywhere = "everywhere" in await read_form(request)
        await users.sign_out(current_user(request), everywhere=everywhere)
        return without_session(request, Redirect("/sign-in", status_code=303))


def _sign_in_page(
    request: PageRequest, oidc: OidcSignIn | None, *, email: str = "", error: str = "", status: int = 200
) -> Response[Any]:
    token, provider = form_token(request), None if oidc is None else oidc.provider_name
    form_page = page(
        request, "sign_in.html", status=status, csrf_token=token, email=email, error=error, provider=provider
    )
    return with_form_token(request, form_page, token)


class InvitationController(Controller):
    """One-time links that create a user."""

    path = "/invitation/{token:str}"
    opt = ANYONE

    @get()
    async def invitation_form(
        self, request: PageRequest, token: FromPath[str], users: NamedDependency[Users]
    ) -> Response[Any]:
        """Show the form, unless the link has expired."""
        if not await users.is_invitation_valid(token):
            return message_page(request, MessagePage.INVITATION_EXPIRED, status=404)
        return _invitation_page(request)

    @post()
    async def accept_invitation(
        self, request: PageRequest, token: FromPath[str], authenticator: NamedDependency[Authenticator]
    ) -> Response[Any]:
        """Create the user and start a session."""
        form = await read_form(request)
        email = form.get("email", "")
        try:
            session = await authenticator.accept_invitation(token, email, form.get("password", ""))
        except SignInError as error:
            return _invitation_page(request, email=email, error=error.message, status=400)
        return with_session(request, Redirect("/", status_code=303), session.token, hours=SESSION_HOURS)


def _invitation_page(request: PageRequest, *, email: str = "", error: str = "", status: int = 200) -> Response[Any]:
    token = form_token(request)
    form_page = page(
        request,
        "invitation.html",
        status=status,
        csrf_token=token,
        email=email,
        error=error,
        min_password_length=MIN_PASSWORD_LENGTH,
    )
    return with_form_token(request, form_page, token)


class AccountController(Controller):
    """The user's own account."""

    path = "/account"
    opt = VIEWER

    @get(sync_to_thread=False)
    def account(self, request: PageRequest, authenticator: NamedDependency[Authenticator]) -> Template:
        """Show the account."""
        return _account_page(request, authenticator)

    @post("/password")
    async def change_password(self, request: PageRequest, authenticator: NamedDependency[Authenticator]) -> Template:
        """Change the password and end the user's other sessions."""
        form, user = await read_form(request), current_user(request)
        try:
            await authenticator.change_password(user, form.get("current_password", ""), form.get("new_password", ""))
        except SignInError as error:
            return _account_page(request, authenticator, error=error.message, status=400)
        return _account_page(request, authenticator, message=notice_text(Notice.PASSWORD_CHANGED))


def _account_page(
    request: PageRequest, authenticator: Authenticator, *, error: str = "", message: str = "", status: int = 200
) -> Template:
    return page(
        request,
        "account.html",
        status=status,
        error=error,
        message=message,
        min_password_length=MIN_PASSWORD_LENGTH,
        passwords_enabled=authenticator.passwords_enabled,
    )
