"""An OpenID Connect provider for the tests: it signs anybody in, and can be told to misbehave."""

import base64
import hashlib
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import jwt
from aiohttp import BasicAuth, web
from aiohttp.typedefs import Handler
from cryptography.hazmat.primitives.asymmetric import rsa

from kustomer_klaviyo.sandbox.serving import serving

CLIENT_ID, CLIENT_SECRET = "kustomer-klaviyo", "a secret: with/signs"
KEY_ID = "key-1"


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class SignedIn:
    """What the provider remembers between its two ends."""

    nonce: str
    challenge: str
    redirect_uri: str


@dataclass
class Provider:
    """Who is signed in there, and how it misbehaves."""

    url: str = ""
    person: dict[str, Any] = field(default_factory=lambda: {"email": "ada@acme.example", "email_verified": True})
    in_token: dict[str, Any] = field(default_factory=dict)
    """What the token says otherwise than it should."""
    tells_by_userinfo: bool = False
    issuer: str | None = None
    key: rsa.RSAPrivateKey = field(default_factory=new_key)
    signs_with: rsa.RSAPrivateKey | None = None
    algorithm: str = "RS256"
    codes: dict[str, SignedIn] = field(default_factory=dict)
    redeemed: int = 0
    instead: dict[str, bytes] = field(default_factory=dict)
    """What is answered at a path, whatever is asked."""

    def behave(self) -> None:
        """Forget whatever misbehaviour, and who was signed in."""
        fresh = Provider(key=self.key)
        for name in ("person", "in_token", "tells_by_userinfo", "issuer", "signs_with", "algorithm", "redeemed"):
            setattr(self, name, getattr(fresh, name))

    async def configuration(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.issuer or self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "userinfo_endpoint": f"{self.url}/userinfo",
                "jwks_uri": f"{self.url}/keys",
            }
        )

    async def authorize(self, request: web.Request) -> web.Response:
        """Sign the person in at once, and send the browser back."""
        asked = request.query
        assert (asked["response_type"], asked["client_id"]) == ("code", CLIENT_ID)
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self.codes[code] = SignedIn(asked["nonce"], asked["code_challenge"], asked["redirect_uri"])
        raise web.HTTPFound(f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}")

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        known = BasicAuth.decode(request.headers["Authorization"])
        assert known.login == CLIENT_ID
        assert known.password == "a%20secret%3A%20with%2Fsigns"
        signed_in = self.codes.pop(str(form["code"]), None)
        digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        is_proven = signed_in and base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == signed_in.challenge
        if signed_in is None or not is_proven or form["redirect_uri"] != signed_in.redirect_uri:
            return web.json_response({"error": "invalid_grant"}, status=400)
        self.redeemed += 1
        return web.json_response(
            {"access_token": "access", "token_type": "Bearer", "id_token": self._id_token(signed_in.nonce)}
        )

    def _id_token(self, nonce: str) -> str:
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.url, "aud": CLIENT_ID, "sub": "person-1", "iat": now, "exp": now + 300, "nonce": nonce,
        }  # fmt: skip
        claims |= {} if self.tells_by_userinfo else self.person
        claims = {name: value for name, value in (claims | self.in_token).items() if value is not None}
        if self.algorithm == "none":
            return jwt.encode(claims, "", algorithm="none", headers={"kid": KEY_ID})
        return jwt.encode(claims, self.signs_with or self.key, algorithm=self.algorithm, headers={"kid": KEY_ID})

    async def userinfo(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer access"
        return web.json_response({"sub": "person-1", **self.person})

    async def keys(self, _: web.Request) -> web.Response:
        shown = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return web.json_response({"keys": [shown | {"kid": KEY_ID, "use": "sig", "alg": "RS256"}]})


@asynccontextmanager
async def providing() -> AsyncIterator[Provider]:
    """Run a provider."""
    provider = Provider()

    @web.middleware
    async def misbehave(request: web.Request, handler: Handler) -> web.StreamResponse:
        body = provider.instead.get(request.path)
        return await handler(request) if body is None else web.Response(body=body)

    app = web.Application(middlewares=[misbehave])
    app.router.add_get("/.well-known/openid-configuration", provider.configuration)
    app.router.add_get("/authorize", provider.authorize)
    app.router.add_post("/token", provider.token)
    app.router.add_get("/userinfo", provider.userinfo)
    app.router.add_get("/keys", provider.keys)
    async with serving(app) as url:
        provider.url = url
        yield provider
