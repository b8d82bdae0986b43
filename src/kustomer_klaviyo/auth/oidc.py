"""Signing in with an OpenID Connect provider of the organisation's own: authorization code with PKCE.

Rules: openid.net/specs/openid-connect-core-1_0.html (3.1), openid.net/specs/openid-connect-discovery-1_0.html
"""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
import jwt
import msgspec

from kustomer_klaviyo.auth.authenticator import NotAdmitted
from kustomer_klaviyo.auth.credential_rules import BadCredential, check_identity
from kustomer_klaviyo.store.users import Role, canonical_email
from kustomer_klaviyo.transport import read_bounded

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by a key that only the provider has; never by a shared secret, never none."""

TIMEOUT = aiohttp.ClientTimeout(connect=3, total=10)
LARGEST_ANSWER = 1_000_000
UNREADABLE_BODY = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
KNOWN_FOR_SECONDS = 3600.0
CLOCKS_APART_SECONDS = 60
UNDER_WAY_SECONDS = 600
"""How long a sign-in may take at the provider's."""

UNREADABLE = "The sign-in provider's answer cannot be used: {}. An admin can look at the service's OIDC settings."


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOn:
    """The provider, and whom of those it knows to let in."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    admins: tuple[str, ...]
    """Addresses, in which ``*`` stands for anything, or ``claim=value``."""
    viewers: tuple[str, ...] = ()
    identity: str = "email"
    """The claim that names a person. ``email`` counts only when the provider has verified it."""
    scopes: str = "openid email"

    @property
    def name(self) -> str:
        """What the button says."""
        return urlsplit(self.issuer).hostname or self.issuer


class Begun(msgspec.Struct, frozen=True):
    """A sign-in under way, kept by the browser it began in."""

    state: str
    nonce: str
    verifier: str
    at: float
    """When it began, in seconds since 1970: a browser may keep it for longer than it is good for."""

    def is_over(self, now: float) -> bool:
        """Say whether it began too long ago (or, on another clock, later than now)."""
        return not -CLOCKS_APART_SECONDS <= now - self.at <= UNDER_WAY_SECONDS


@dataclass(frozen=True, slots=True)
class Admitted:
    """Somebody whom the provider knows and the settings let in."""

    identity: str
    role: Role


def begin() -> Begun:
    """Make what one sign-in is known again by."""
    return Begun(secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48), time.time())


def admit(claims: Mapping[str, Any], settings: SignOn) -> Admitted:
    """Say who it is, and as what they get in. Raises NotAdmitted."""
    identity = claims.get(settings.identity)
    if not isinstance(identity, str) or not identity.strip():
        raise NotAdmitted(f"{settings.name} does not say who you are: its answer has no {settings.identity!r}.")
    if settings.identity == "email" and claims.get("email_verified") not in (True, "true"):
        raise NotAdmitted(f"{settings.name} has not verified your address.")
    try:
        identity = check_identity(identity)
    except BadCredential as error:
        raise NotAdmitted(str(error)) from error
    for role, wanted in ((Role.ADMIN, settings.admins), (Role.VIEWER, settings.viewers)):
        if any(_is_meant(entry, identity, claims) for entry in wanted):
            return Admitted(identity, role)
    raise NotAdmitted(f"{identity} is not among those who may sign in here. Ask an admin of this service.")


def _is_meant(entry: str, identity: str, claims: Mapping[str, Any]) -> bool:
    name, is_claim, value = entry.partition("=")
    if not is_claim:
        return fnmatchcase(canonical_email(identity), canonical_email(entry))
    held = claims.get(name.strip())
    return value.strip() in (held if isinstance(held, list) else [held])


def _is_address(value: object) -> bool:
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        return parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


class Provider:
    """Asks the provider. One per process."""

    def __init__(self, session: aiohttp.ClientSession, settings: SignOn) -> None:
        self._session = session
        self.settings = settings
        self._endpoints: dict[str, Any] = {}
        self._keys: jwt.PyJWKSet | None = None
        self._known_until = self._keys_until = float("-inf")

    async def address(self, begun: Begun, redirect_uri: str) -> str:
        """Return where the browser goes to sign in. Raises NotAdmitted when the provider cannot be used."""
        endpoints = await self._discover()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(begun.verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": self.settings.scopes,
            "state": begun.state,
            "nonce": begun.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        address = str(endpoints["authorization_endpoint"])
        return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}"

    async def finish(self, begun: Begun, *, state: str, code: str, redirect_uri: str) -> Admitted:
        """Take who came back from the provider in, or not. Raises NotAdmitted."""
        if not hmac.compare_digest(state.encode(), begun.state.encode()):
            raise NotAdmitted("This sign-in was not begun in this browser, or too long ago. Try again.")
        tokens = await self._redeem(code, begun.verifier, redirect_uri)
        claims = await self._read_token(str(tokens.get("id_token", "")), begun.nonce)
        wanted = {self.settings.identity, *(one.partition("=")[0] for one in self._entries if "=" in one)}
        if not wanted <= claims.keys():
            claims = await self._with_userinfo(claims, str(tokens.get("access_token", "")))
        return admit(claims, self.settings)

    @property
    def _entries(self) -> tuple[str, ...]:
        return (*self.settings.admins, *self.settings.viewers)

    async def _redeem(self, code: str, verifier: str, redirect_uri: str) -> dict[str, Any]:
        endpoints, settings = await self._discover(), self.settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        headers = {}
        ways = endpoints.get("token_endpoint_auth_methods_supported")
        if not isinstance(ways, list) or "client_secret_basic" in ways:
            both = f"{quote(settings.client_id, safe='')}:{quote(settings.client_secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(both.encode()).decode()}"
        else:
            form |= {"client_id": settings.client_id, "client_secret": settings.client_secret}
        return await self._ask("POST", str(endpoints["token_endpoint"]), headers, form)

    async def _read_token(self, token: str, nonce: str) -> dict[str, Any]:
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            claims: dict[str, Any] = jwt.decode(
                token,
                await self._key(key_id),
                algorithms=list(ALGORITHMS),
                audience=self.settings.client_id,
                issuer=self.settings.issuer,
                leeway=CLOCKS_APART_SECONDS,
                options={"require": ["exp", "iat", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise NotAdmitted(UNREADABLE.format(error)) from error
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise NotAdmitted(UNREADABLE.format("it belongs to another sign-in"))
        is_for_several = isinstance(claims.get("aud"), list) and len(claims["aud"]) > 1
        meant = claims.get("azp", None if is_for_several else self.settings.client_id)
        if meant != self.settings.client_id:
            raise NotAdmitted(UNREADABLE.format("it was made for another service"))
        return claims

    async def _key(self, key_id: str | None) -> jwt.PyJWK:
        """Return the provider's key of an id; keys are read again when one is not known."""
        for is_fresh in (False, True):
            if self._keys is None or is_fresh or time.monotonic() >= self._keys_until:
                await self._read_keys()
            keys = [] if self._keys is None else self._keys.keys
            found = [one for one in keys if key_id in (None, one.key_id) and one.public_key_use in (None, "sig")]
            if found:
                return found[0]
        raise NotAdmitted(UNREADABLE.format("it is signed with a key that the provider does not show"))

    async def _read_keys(self) -> None:
        document = await self._ask("GET", str((await self._discover())["jwks_uri"]))
        try:
            self._keys = jwt.PyJWKSet.from_dict(document)
            self._keys_until = time.monotonic() + KNOWN_FOR_SECONDS
        except jwt.PyJWTError as error:
            raise NotAdmitted(UNREADABLE.format(error)) from error

    async def _with_userinfo(self, claims: dict[str, Any], access_token: str) -> dict[str, Any]:
        """Add what the provider tells of the person only when asked for it."""
        address = (await self._discover()).get("userinfo_endpoint")
        if not address or not access_token:
            return claims
        told = await self._ask("GET", str(address), {"Authorization": f"Bearer {access_token}"})
        return told | claims if told.get("sub") == claims["sub"] else claims

    async def _discover(self) -> dict[str, Any]:
        if time.monotonic() < self._known_until:
            return self._endpoints
        address = f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration"
        document = await self._ask("GET", address)
        if document.get("issuer") != self.settings.issuer:
            raise NotAdmitted(UNREADABLE.format("it names another issuer"))
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if not _is_address(document.get(name)):
                raise NotAdmitted(UNREADABLE.format(f"it names no {name}"))
        self._endpoints, self._known_until = document, time.monotonic() + KNOWN_FOR_SECONDS
        return document

    async def _ask(
        self, method: str, address: str, headers: Mapping[str, str] | None = None, form: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        try:
            async with self._session.request(
                method,
                address,
                headers={"Accept": "application/json", **(headers or {})},
                data=form,
                timeout=TIMEOUT,
                allow_redirects=False,
            ) as response:
                body = await read_bounded(response.content, LARGEST_ANSWER)
                document = msgspec.json.decode(body) if response.status == 200 else None
        except (aiohttp.ClientError, OSError, *UNREADABLE_BODY) as error:
            raise NotAdmitted(UNREADABLE.format(type(error).__name__)) from error
        if not isinstance(document, dict):
            raise NotAdmitted(UNREADABLE.format(f"{urlsplit(address).path} answers {response.status}"))
        return document
