"""An OpenID Connect provider for tests. It signs anybody in and can be made to respond wrongly."""

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

from kustomer_klaviyo.sandbox.http_server import run_server

CLIENT_ID, CLIENT_SECRET = "kustomer-klaviyo", "a secret: with/signs"
KEY_ID = "key-1"


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class Authorization:
    """What the provider stores between the authorization and the token request."""

    nonce: str
    challenge: str
    redirect_uri: str


@dataclass
class StubProvider:
    """The user who signs in, and which responses are wrong."""

    url: str = ""
    claims: dict[str, Any] = field(default_factory=lambda: {"email": "ada@acme.example", "email_verified": True})
    token_claims: dict[str, Any] = field(default_factory=dict)
    """Claims of the ID token that replace the right ones. None removes a claim."""
    uses_userinfo: bool = False
    issuer: str | None = None
    key: rsa.RSAPrivateKey = field(default_factory=new_key)
    signing_key: rsa.RSAPrivateKey | None = None
    algorithm: str = "RS256"
    codes: dict[str, Authorization] = field(default_factory=dict)
    redeemed_codes: int = 0
    overrides: dict[str, bytes] = field(default_factory=dict)
    """Fixed response bodies by path."""

    def reset(self) -> None:
        """Reset the user and all wrong responses."""
        fresh = StubProvider(key=self.key)
        for name in ("claims", "token_claims", "uses_userinfo", "issuer", "signing_key", "algorithm", "redeemed_codes"):
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
        """Sign the user in at once, and redirect the browser back."""
        query = request.query
        assert (query["response_type"], query["client_id"]) == ("code", CLIENT_ID)
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self.codes[code] = Authorization(query["nonce"], query["code_challenge"], query["redirect_uri"])
        raise web.HTTPFound(f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}")

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        credentials = BasicAuth.decode(request.headers["Authorization"])
        assert credentials.login == CLIENT_ID
        assert credentials.password == "a%20secret%3A%20with%2Fsigns"
        authorization = self.codes.pop(str(form["code"]), None)
        digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        is_proven = authorization and base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == authorization.challenge
        if authorization is None or not is_proven or form["redirect_uri"] != authorization.redirect_uri:
            return web.json_response({"error": "invalid_grant"}, status=400)
        self.redeemed_codes += 1
        return web.json_response(
            {"access_token": "access", "token_type": "Bearer", "id_token": self._id_token(authorization.nonce)}
        )

    def _id_token(self, nonce: str) -> str:
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.url, "aud": CLIENT_ID, "sub": "person-1", "iat": now, "exp": now + 300, "nonce": nonce,
        }  # fmt: skip
        claims |= {} if self.uses_userinfo else self.claims
        claims = {name: value for name, value in (claims | self.token_claims).items() if value is not None}
        if self.algorithm == "none":
            return jwt.encode(claims, "", algorithm="none", headers={"kid": KEY_ID})
        return jwt.encode(claims, self.signing_key or self.key, algorithm=self.algorithm, headers={"kid": KEY_ID})

    async def userinfo(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer access"
        return web.json_response({"sub": "person-1", **self.claims})

    async def keys(self, _: web.Request) -> web.Response:
        public_key = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return web.json_response({"keys": [public_key | {"kid": KEY_ID, "use": "sig", "alg": "RS256"}]})


@asynccontextmanager
async def run_provider() -> AsyncIterator[StubProvider]:
    """Run a provider on a local port."""
    provider = StubProvider()

    @web.middleware
    async def override(request: web.Request, handler: Handler) -> web.StreamResponse:
        body = provider.overrides.get(request.path)
        return await handler(request) if body is None else web.Response(body=body)

    app = web.Application(middlewares=[override])
    app.router.add_get("/.well-known/openid-configuration", provider.configuration)
    app.router.add_get("/authorize", provider.authorize)
    app.router.add_post("/token", provider.token)
    app.router.add_get("/userinfo", provider.userinfo)
    app.router.add_get("/keys", provider.keys)
    async with run_server(app) as url:
        provider.url = url
        yield provider
