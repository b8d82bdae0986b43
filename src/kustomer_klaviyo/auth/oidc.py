"""Sign-in with an OpenID Connect provider: authorization code flow with PKCE.

Specification: openid.net/specs/openid-connect-core-1_0.html (3.1), openid.net/specs/openid-connect-discovery-1_0.html
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

from kustomer_klaviyo.auth.credential_rules import check_identity
from kustomer_klaviyo.auth.sign_in_errors import SignInError, SignInErrorCode
from kustomer_klaviyo.store.users import Role, canonical_email
from kustomer_klaviyo.transport import read_bounded

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Accepted signature algorithms: with the provider's private key only, never with a shared secret, never none."""

TIMEOUT = aiohttp.ClientTimeout(connect=3, total=10)
MAX_RESPONSE_BYTES = 1_000_000
DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
CACHE_SECONDS = 3600.0
CLOCK_SKEW_SECONDS = 60
SIGN_IN_TIMEOUT_SECONDS = 600
"""How long a user may take to sign in at the provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcSettings:
    """The provider, and which of its users may sign in."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    admins: tuple[str, ...]
    """Rules: an email address with the wildcard ``*``, or ``claim=value``."""
    viewers: tuple[str, ...] = ()
    identity_claim: str = "email"
    """The claim that identifies a user. ``email`` is accepted only if the provider has verified it."""
    scopes: str = "openid email"

    @property
    def provider_name(self) -> str:
        """The name on the sign-in button."""
        return urlsplit(self.issuer).hostname or self.issuer


class PendingSignIn(msgspec.Struct, frozen=True):
    """A started sign-in. The browser stores it in an encrypted cookie."""

    state: str
    nonce: str
    verifier: str
    started_at: float
    """Unix time in seconds. A browser may keep the cookie after the sign-in has expired."""

    def is_expired(self, now: float) -> bool:
        """Return whether it was started too long ago, or (with clock skew) too far in the future."""
        return not -CLOCK_SKEW_SECONDS <= now - self.started_at <= SIGN_IN_TIMEOUT_SECONDS


@dataclass(frozen=True, slots=True)
class OidcIdentity:
    """A user of the provider who may sign in."""

    identity: str
    role: Role


def start_sign_in() -> PendingSignIn:
    """Create the state, nonce and PKCE verifier of a sign-in."""
    return PendingSignIn(secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48), time.time())


def identify(claims: Mapping[str, Any], settings: OidcSettings) -> OidcIdentity:
    """Return the identity and the role that the claims give. Raises SignInError."""
    identity, provider = claims.get(settings.identity_claim), settings.provider_name
    if not isinstance(identity, str) or not identity.strip():
        raise SignInError(SignInErrorCode.NO_IDENTITY, provider=provider, claim=settings.identity_claim)
    if settings.identity_claim == "email" and claims.get("email_verified") not in (True, "true"):
        raise SignInError(SignInErrorCode.EMAIL_NOT_VERIFIED, provider=provider)
    identity = check_identity(identity)
    for role, rules in ((Role.ADMIN, settings.admins), (Role.VIEWER, settings.viewers)):
        if any(_matches(rule, identity, claims) for rule in rules):
            return OidcIdentity(identity, role)
    raise SignInError(SignInErrorCode.NOT_ALLOWED, identity=identity)


def _matches(rule: str, identity: str, claims: Mapping[str, Any]) -> bool:
    name, is_claim_rule, value = rule.partition("=")
    if not is_claim_rule:
        return fnmatchcase(canonical_email(identity), canonical_email(rule))
    claim = claims.get(name.strip())
    return value.strip() in (claim if isinstance(claim, list) else [claim])


def _is_http_url(value: object) -> bool:
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        return parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def _invalid_response(reason: object) -> SignInError:
    return SignInError(SignInErrorCode.INVALID_PROVIDER_RESPONSE, reason=str(reason))


class OidcClient:
    """Client of the provider. There is one per process."""

    def __init__(self, session: aiohttp.ClientSession, settings: OidcSettings) -> None:
        self._session = session
        self.settings = settings
        self._configuration: dict[str, Any] = {}
        self._keys: jwt.PyJWKSet | None = None
        self._configuration_expires_at = self._keys_expire_at = float("-inf")

    async def authorization_url(self, pending: PendingSignIn, redirect_uri: str) -> str:
        """Return the URL at which the user signs in. Raises SignInError when the provider is unavailable."""
        configuration = await self._discover()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(pending.verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": self.settings.scopes,
            "state": pending.state,
            "nonce": pending.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        url = str(configuration["authorization_endpoint"])
        return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"

    async def complete(self, pending: PendingSignIn, *, state: str, code: str, redirect_uri: str) -> OidcIdentity:
        """Complete a sign-in when the browser returns from the provider. Raises SignInError."""
        if not hmac.compare_digest(state.encode(), pending.state.encode()):
            raise SignInError(SignInErrorCode.PENDING_SIGN_IN_EXPIRED)
        tokens = await self._exchange_code(code, pending.verifier, redirect_uri)
        claims = await self._verify_id_token(str(tokens.get("id_token", "")), pending.nonce)
        claim_names = {rule.partition("=")[0] for rule in self._rules if "=" in rule}
        if not {self.settings.identity_claim, *claim_names} <= claims.keys():
            claims = await self._add_userinfo(claims, str(tokens.get("access_token", "")))
        return identify(claims, self.settings)

    @property
    def _rules(self) -> tuple[str, ...]:
        return (*self.settings.admins, *self.settings.viewers)

    async def _exchange_code(self, code: str, verifier: str, redirect_uri: str) -> dict[str, Any]:
        configuration, settings = await self._discover(), self.settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        headers = {}
        methods = configuration.get("token_endpoint_auth_methods_supported")
        if not isinstance(methods, list) or "client_secret_basic" in methods:
            credentials = f"{quote(settings.client_id, safe='')}:{quote(settings.client_secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(credentials.encode()).decode()}"
        else:
            form |= {"client_id": settings.client_id, "client_secret": settings.client_secret}
        return await self._request_json("POST", str(configuration["token_endpoint"]), headers, form)

    async def _verify_id_token(self, token: str, nonce: str) -> dict[str, Any]:
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            claims: dict[str, Any] = jwt.decode(
                token,
                await self._signing_key(key_id),
                algorithms=list(ALGORITHMS),
                audience=self.settings.client_id,
                issuer=self.settings.issuer,
                leeway=CLOCK_SKEW_SECONDS,
                options={"require": ["exp", "iat", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise _invalid_response(error) from error
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise _invalid_response("the token belongs to another sign-in")
        has_several_audiences = isinstance(claims.get("aud"), list) and len(claims["aud"]) > 1
        authorized_party = claims.get("azp", None if has_several_audiences else self.settings.client_id)
        if authorized_party != self.settings.client_id:
            raise _invalid_response("the token was issued to another service")
        return claims

    async def _signing_key(self, key_id: str | None) -> jwt.PyJWK:
        """Return a signing key by its id. An unknown id makes the client fetch the keys again."""
        for refetch in (False, True):
            if self._keys is None or refetch or time.monotonic() >= self._keys_expire_at:
                await self._fetch_keys()
            for key in [] if self._keys is None else self._keys.keys:
                if key_id in (None, key.key_id) and key.public_key_use in (None, "sig"):
                    return key
        raise _invalid_response("the token is signed with an unpublished key")

    async def _fetch_keys(self) -> None:
        document = await self._request_json("GET", str((await self._discover())["jwks_uri"]))
        try:
            self._keys = jwt.PyJWKSet.from_dict(document)
            self._keys_expire_at = time.monotonic() + CACHE_SECONDS
        except jwt.PyJWTError as error:
            raise _invalid_response(error) from error

    async def _add_userinfo(self, claims: dict[str, Any], access_token: str) -> dict[str, Any]:
        """Add the claims that only the userinfo endpoint returns."""
        url = (await self._discover()).get("userinfo_endpoint")
        if not url or not access_token:
            return claims
        userinfo = await self._request_json("GET", str(url), {"Authorization": f"Bearer {access_token}"})
        return userinfo | claims if userinfo.get("sub") == claims["sub"] else claims

    async def _discover(self) -> dict[str, Any]:
        if time.monotonic() < self._configuration_expires_at:
            return self._configuration
        url = f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration"
        document = await self._request_json("GET", url)
        if document.get("issuer") != self.settings.issuer:
            raise _invalid_response("the configuration names another issuer")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if not _is_http_url(document.get(name)):
                raise _invalid_response(f"the configuration has no {name}")
        self._configuration, self._configuration_expires_at = document, time.monotonic() + CACHE_SECONDS
        return document

    async def _request_json(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, form: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        try:
            async with self._session.request(
                method,
                url,
                headers={"Accept": "application/json", **(headers or {})},
                data=form,
                timeout=TIMEOUT,
                allow_redirects=False,
            ) as response:
                body = await read_bounded(response.content, MAX_RESPONSE_BYTES)
                document = msgspec.json.decode(body) if response.status == 200 else None
        except (aiohttp.ClientError, OSError, *DECODE_ERRORS) as error:
            raise _invalid_response(type(error).__name__) from error
        if not isinstance(document, dict):
            raise _invalid_response(f"{urlsplit(url).path} returned status {response.status}")
        return document
