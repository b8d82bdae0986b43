"""Sign-in with an OpenID Connect provider: the redirect to the provider, and its callback."""

import time
from typing import Any

import msgspec
from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.response import Redirect

from kustomer_klaviyo.auth.authenticator import SESSION_HOURS, Authenticator, NewSession
from kustomer_klaviyo.auth.oidc import SIGN_IN_TIMEOUT_SECONDS, OidcClient, PendingSignIn, start_sign_in
from kustomer_klaviyo.auth.sign_in_errors import SignInError, SignInErrorCode, TooManyAttempts
from kustomer_klaviyo.store.encryption import DecryptionError, Encryptor
from kustomer_klaviyo.web.console.guard import ANYONE, message_page, read_cookie, with_cookie, with_session
from kustomer_klaviyo.web.console.messages import MessagePage
from kustomer_klaviyo.web.console.rendering import PageRequest

PENDING_COOKIE = "kk_oidc"
START_PATH, CALLBACK_PATH = "/sign-in/provider", "/sign-in/callback"


class OidcSignIn:
    """Signs users in with the provider. The state of a pending sign-in is an encrypted cookie."""

    def __init__(
        self, authenticator: Authenticator, client: OidcClient, encryptor: Encryptor, public_url: str | None
    ) -> None:
        self._authenticator = authenticator
        self._client = client
        self._encryptor = encryptor
        self._public_url = public_url

    @property
    def provider_name(self) -> str:
        """The name of the provider on the sign-in button."""
        return self._client.settings.provider_name

    async def start(self, request: PageRequest) -> tuple[str, str]:
        """Start a sign-in; return the provider's URL and the value of the cookie. Raises SignInError."""
        pending = start_sign_in()
        url = await self._client.authorization_url(pending, self._redirect_uri(request))
        return url, self._encryptor.encrypt(msgspec.json.encode(pending)).decode()

    async def complete(self, request: PageRequest) -> NewSession:
        """Complete the sign-in and start a session. Raises SignInError."""
        client_ip = request.client.host if request.client else ""
        _require_navigation(request)
        await self._authenticator.count_oidc_attempt(client_ip)
        session = await self._exchange(request)
        await self._authenticator.undo_oidc_attempt(client_ip)
        return session

    async def _exchange(self, request: PageRequest) -> NewSession:
        pending = self._pending(request)
        state, code, error = (request.query_params.get(name, "") for name in ("state", "code", "error"))
        if error or not code:
            reason = error[:100] or "no code"
            raise SignInError(SignInErrorCode.PROVIDER_REJECTED, provider=self.provider_name, reason=reason)
        redirect_uri = self._redirect_uri(request)
        identity = await self._client.complete(pending, state=state, code=code, redirect_uri=redirect_uri)
        return await self._authenticator.start_oidc_session(identity.identity, identity.role)

    def _pending(self, request: PageRequest) -> PendingSignIn:
        """Return the sign-in that was started in this browser. Raises SignInError."""
        try:
            decrypted = self._encryptor.decrypt(read_cookie(request, PENDING_COOKIE).encode())
            pending = msgspec.json.decode(decrypted, type=PendingSignIn)
        except (DecryptionError, msgspec.DecodeError) as error:
            raise SignInError(SignInErrorCode.PENDING_SIGN_IN_EXPIRED) from error
        if pending.is_expired(time.time()):
            raise SignInError(SignInErrorCode.PENDING_SIGN_IN_EXPIRED)
        return pending

    def _redirect_uri(self, request: PageRequest) -> str:
        return (self._public_url or str(request.base_url).rstrip("/")) + CALLBACK_PATH


def _require_navigation(request: PageRequest) -> None:
    """Raise SignInError unless the user opened the page: other sites must not use up the user's attempts."""
    if request.headers.get("sec-fetch-dest", "document") != "document":
        raise SignInError(SignInErrorCode.PENDING_SIGN_IN_EXPIRED)


class OidcController(Controller):
    """The two pages of a sign-in with the provider."""

    opt = ANYONE

    @get(START_PATH)
    async def oidc_start(self, request: PageRequest, oidc: NamedDependency[OidcSignIn]) -> Response[Any]:
        """Redirect to the provider."""
        try:
            url, cookie = await oidc.start(request)
        except SignInError as error:
            return _not_signed_in(request, error)
        response = Redirect(url, status_code=303)
        return with_cookie(request, response, PENDING_COOKIE, cookie, seconds=SIGN_IN_TIMEOUT_SECONDS)

    @get(CALLBACK_PATH)
    async def oidc_callback(self, request: PageRequest, oidc: NamedDependency[OidcSignIn]) -> Response[Any]:
        """Complete the sign-in when the provider redirects back."""
        try:
            session = await oidc.complete(request)
        except SignInError as error:
            return _not_signed_in(request, error)
        response = with_session(request, Redirect("/", status_code=303), session.token, hours=SESSION_HOURS)
        return with_cookie(request, response, PENDING_COOKIE, "", seconds=0)


def _not_signed_in(request: PageRequest, error: SignInError) -> Response[Any]:
    status = 429 if isinstance(error, TooManyAttempts) else 403
    return message_page(request, MessagePage.NOT_SIGNED_IN, status=status, text=error.message)
