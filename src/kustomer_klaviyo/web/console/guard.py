"""Guards every page: who is signed in, what their role allows, and whether a change comes from a form of this site.

Every handler names in its ``opt`` who may use it. A handler that names nobody is for admins.
"""

import hmac
import re
import secrets
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from litestar import Response
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.handlers import BaseRouteHandler
from litestar.response import Redirect, Template
from litestar.types import ExceptionHandlersMap, Guard

from kustomer_klaviyo.store.users import CurrentUser, Role, Users
from kustomer_klaviyo.web.console.banners import Alerts
from kustomer_klaviyo.web.console.forms import read_form
from kustomer_klaviyo.web.console.messages import TEXTS, TITLES, MessagePage
from kustomer_klaviyo.web.console.rendering import PageRequest, page

SESSION_COOKIE, FORM_COOKIE = "kk_session", "kk_form"
FORM_COOKIE_SECONDS = 3600
FORM_TOKEN = re.compile(r"[\w-]{32}\Z", re.ASCII)
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

GuardedRequest = ASGIConnection[Any, Any, Any, Any]


class Access(StrEnum):
    """Who may use a handler."""

    ANYONE = "anyone"
    VIEWER = "viewer"
    """Everybody who is signed in."""
    ADMIN = "admin"


ANYONE, VIEWER = {"access": Access.ANYONE}, {"access": Access.VIEWER}


class Unauthenticated(NotAuthorizedException):
    """The request has no valid session."""


class AdminRequired(PermissionDeniedException):
    """The user is a viewer."""


class CsrfFailed(PermissionDeniedException):
    """The form lacks the right CSRF token, or was sent by another site."""


def console_guards(users: Users, alerts: Alerts) -> Sequence[Guard]:
    """Return the guards of all pages, in their order."""

    async def load_user(request: GuardedRequest, _: BaseRouteHandler) -> None:
        token = read_cookie(request, SESSION_COOKIE)
        request.state.user = await users.current_user(token) if token else None
        request.state.alerts = [] if request.state.user is None else await alerts.all()

    return (load_user, require_role, require_csrf_token)


def _access(handler: BaseRouteHandler) -> Access:
    return Access(handler.opt.get("access", Access.ADMIN))


def require_role(request: GuardedRequest, handler: BaseRouteHandler) -> None:
    """Raise Unauthenticated or AdminRequired unless the user may use the handler."""
    access, user = _access(handler), request.state.user
    if access is Access.ANYONE:
        return
    if user is None:
        raise Unauthenticated
    if access is Access.ADMIN and user.user.role is not Role.ADMIN:
        raise AdminRequired


async def require_csrf_token(request: Any, handler: BaseRouteHandler) -> None:
    """Raise CsrfFailed for a change that does not come from a form of this site."""
    # Forms for anyone have a token of their own, also for signed-in users.
    user = None if _access(handler) is Access.ANYONE else request.state.user
    if request.method not in SAFE_METHODS and not await _csrf_ok(request, user):
        raise CsrfFailed


async def _csrf_ok(request: PageRequest, user: CurrentUser | None) -> bool:
    """Whether the form contains the token of the session, or of the form's cookie; other sites know neither."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    expected = user.csrf_token if user is not None else read_cookie(request, FORM_COOKIE)
    form = await read_form(request)
    return bool(expected) and hmac.compare_digest(form.get("csrf_token", "").encode(), expected.encode())


def current_user(request: PageRequest) -> CurrentUser:
    """Return the signed-in user, on a page that is not for anyone."""
    user: CurrentUser = request.state.user
    return user


def message_page(request: PageRequest, message: MessagePage, *, status: int, text: str | None = None) -> Template:
    """Return a page that only shows a message."""
    return page(request, "message.html", status=status, title=TITLES[message], text=text or TEXTS[message])


def _unauthenticated(request: PageRequest, _: Exception) -> Response[Any]:
    if request.method in SAFE_METHODS and "hx-request" not in request.headers:
        return Redirect("/sign-in", status_code=303)
    return Response("sign in first", status_code=401, media_type="text/plain")


def _admin_required(request: PageRequest, _: Exception) -> Response[Any]:
    return message_page(request, MessagePage.ADMINS_ONLY, status=403)


def _csrf_failed(request: PageRequest, _: Exception) -> Response[Any]:
    return message_page(request, MessagePage.FORM_REJECTED, status=403)


GUARD_EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    Unauthenticated: _unauthenticated,
    AdminRequired: _admin_required,
    CsrfFailed: _csrf_failed,
}


def form_token(request: PageRequest) -> str:
    """Return the CSRF token of a form for anyone."""
    token = read_cookie(request, FORM_COOKIE)
    return token if FORM_TOKEN.match(token) else secrets.token_urlsafe(24)


def with_form_token(request: PageRequest, response: Response[Any], token: str) -> Response[Any]:
    """Set the cookie with the CSRF token of a form for anyone."""
    return with_cookie(request, response, FORM_COOKIE, token, seconds=FORM_COOKIE_SECONDS)


def with_session(request: PageRequest, response: Response[Any], token: str, *, hours: int) -> Response[Any]:
    """Set the session cookie."""
    return with_cookie(request, response, SESSION_COOKIE, token, seconds=hours * 3600)


def without_session(request: PageRequest, response: Response[Any]) -> Response[Any]:
    """Delete the session cookie."""
    return with_cookie(request, response, SESSION_COOKIE, "", seconds=0)


def is_secure(request: GuardedRequest) -> bool:
    """Whether the browser reaches the service by https, by this request or by the public URL."""
    return request.scope["scheme"] == "https" or request.app.state.get("is_https", False) is True


def read_cookie(request: GuardedRequest, name: str) -> str:
    """Return a cookie of this service; an empty string if there is none."""
    return request.cookies.get(_cookie_name(request, name), "")


def with_cookie(request: PageRequest, response: Response[Any], name: str, value: str, *, seconds: int) -> Response[Any]:
    """Set a cookie that scripts cannot read; 0 seconds delete it."""
    response.set_cookie(
        Cookie(
            key=_cookie_name(request, name),
            value=value,
            max_age=seconds,
            httponly=True,
            secure=is_secure(request),
            # Lax, because the redirect from a sign-in provider comes from another site.
            samesite="lax",
        )
    )
    return response


def _cookie_name(request: GuardedRequest, name: str) -> str:
    """Return the name; by https with a prefix that other hosts of the domain cannot set."""
    return f"__Host-{name}" if is_secure(request) else name
