"""Lets a request through to a page, or not: who is signed in, what they may do, and whether they mean it.

Every page says in its ``opt`` who may ask for it; one that says nothing is for admins.
"""

import hmac
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Response
from litestar.datastructures import Cookie
from litestar.response import Redirect

from kustomer_klaviyo.store.accounts import Accounts, Role, Visitor
from kustomer_klaviyo.web.alerts import Alerts
from kustomer_klaviyo.web.pages import Asked, page

ANYONE, VIEWER = {"who": "anyone"}, {"who": "viewer"}
SESSION, FORM = "kk_session", "kk_form"
SAFE = ("GET", "HEAD", "OPTIONS")

Guard = Callable[[Asked], Awaitable[Response[Any] | None]]


def guard(accounts: Accounts, alerts: Alerts) -> Guard:
    """Make the hook that runs before every page, and finds out what the page has to say at its top."""

    async def let_through(request: Asked) -> Response[Any] | None:
        if not request.scope["path"].isprintable():
            return Response("no such page", status_code=404, media_type="text/plain")
        visitor = await _visitor(accounts, request)
        request.state.visitor = visitor
        request.state.alerts = [] if visitor is None else await alerts.all()
        wanted = request.route_handler.opt.get("who", "admin")
        if wanted != "anyone" and visitor is None:
            return _turn_away(request)
        if wanted == "admin" and visitor is not None and visitor.account.role is not Role.ADMIN:
            text = "Only admins can do this."
            return page(request, "message.html", status=403, title="For admins", text=text)
        session = visitor if wanted != "anyone" else None
        if request.method not in SAFE and not await _is_meant(request, session):
            text = "The form is too old, or did not come from this site. Go back, load the page anew, and try again."
            return page(request, "message.html", status=403, title="Not accepted", text=text)
        return None

    return let_through


def visitor_of(request: Asked) -> Visitor:
    """Return who is signed in, on a page that only they can see."""
    visitor: Visitor = request.state.visitor
    return visitor


async def _visitor(accounts: Accounts, request: Asked) -> Visitor | None:
    token = request.cookies.get(SESSION)
    return await accounts.visitor(token) if token else None


def _turn_away(request: Asked) -> Response[Any]:
    if request.method in SAFE and "hx-request" not in request.headers:
        return Redirect("/sign-in", status_code=303)
    return Response("sign in first", status_code=401, media_type="text/plain")


async def _is_meant(request: Asked, visitor: Visitor | None) -> bool:
    """Say whether a change comes from a form of ours: another site can send one, but knows neither token.

    The forms that anyone may fill in have a token of their own, also for who is signed in.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    wanted = visitor.csrf if visitor is not None else request.cookies.get(FORM, "")
    form = await request.form()
    shown = str(form.get("csrf", ""))
    return bool(wanted) and hmac.compare_digest(shown.encode(), wanted.encode())


def form_token(request: Asked) -> str:
    """Return the token for a form that somebody not signed in fills in."""
    return request.cookies.get(FORM) or secrets.token_urlsafe(24)


def with_form_token(request: Asked, response: Response[Any], token: str) -> Response[Any]:
    """Have the browser keep the token of a form."""
    response.set_cookie(_cookie(request, FORM, token, max_age=3600))
    return response


def with_session(request: Asked, response: Response[Any], token: str, *, hours: int) -> Response[Any]:
    """Have the browser keep a session's token."""
    response.set_cookie(_cookie(request, SESSION, token, max_age=hours * 3600))
    return response


def without_session(response: Response[Any]) -> Response[Any]:
    """Have the browser forget its session."""
    response.delete_cookie(SESSION)
    return response


def is_secure(request: Asked) -> bool:
    """Say whether the browser is to send cookies by https only: it came that way, or the service is reached so."""
    return request.url.scheme == "https" or request.app.state.get("is_reached_by_https", False) is True


def _cookie(request: Asked, name: str, value: str, *, max_age: int) -> Cookie:
    secure = is_secure(request)
    return Cookie(key=name, value=value, max_age=max_age, httponly=True, secure=secure, samesite="lax")
