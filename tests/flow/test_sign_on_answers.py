"""What a sign-in provider answers is somebody else's word: whatever it is, nothing breaks by it."""

from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from kustomer_klaviyo.auth.authenticator import NotAdmitted
from kustomer_klaviyo.auth.oidc import Provider, SignOn, begin
from provider import CLIENT_ID, CLIENT_SECRET, providing

BACK = "http://127.0.0.1/sign-in/callback"
DEEP = b"[" * 100_000
CONFIGURATION, TOKEN, KEYS = "/.well-known/openid-configuration", "/token", "/keys"


async def sign_in(session: aiohttp.ClientSession, ours: Provider) -> None:
    """Go to the provider and come back, as a browser does."""
    begun = begin()
    async with session.get(await ours.address(begun, BACK), allow_redirects=False) as response:
        code = parse_qs(urlsplit(response.headers["Location"]).query)["code"][0]
    await ours.finish(begun, state=begun.state, code=code, redirect_uri=BACK)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CONFIGURATION, DEEP),
        (CONFIGURATION, b"\xff"),
        (
            CONFIGURATION,
            b'{"issuer": "%(url)s", "authorization_endpoint": "x", "token_endpoint": "y", "jwks_uri": "z"}',
        ),
        (TOKEN, DEEP),
        (TOKEN, b'{"id_token": 5}'),
        (TOKEN, b'{"id_token": "W1tbW1s.e30.x"}'),
        (TOKEN, b'{"id_token": "eyJhbGciOiBbXX0.e30.x"}'),
        (TOKEN, b'{"id_token": "eyJhbGciOiAiUlMyNTYiLCAia2lkIjogWzFdfQ.e30.x"}'),
        (TOKEN, b'{"id_token": "\xc3\xa9.\xc3\xa9.\xc3\xa9"}'),
        (KEYS, DEEP),
        (KEYS, b'{"keys": 5}'),
        (KEYS, b'{"keys": null}'),
        (KEYS, b'{"keys": [5, "x", null]}'),
        (KEYS, b'{"keys": [{"kty": 5, "kid": "key-1"}]}'),
        (KEYS, b'{"keys": [{"kty": "RSA", "kid": "key-1", "n": 5, "e": null}]}'),
        (KEYS, b'{"keys": [{"kty": "RSA", "kid": "key-1", "n": "", "e": ""}]}'),
        (KEYS, b'{"keys": [{"kty": "EC", "crv": "P-256", "kid": "key-1", "x": "AA", "y": "AA"}]}'),
        (KEYS, b'{"keys": [{"kty": "oct", "kid": "key-1", "k": "AAAA"}]}'),
    ],
)
async def test_an_answer_of_the_provider_that_cannot_be_used_says_so(path: str, body: bytes) -> None:
    async with providing() as there, aiohttp.ClientSession() as session:
        there.instead[path] = body.replace(b"%(url)s", there.url.encode())
        settings = SignOn(
            issuer=there.url, client_id=CLIENT_ID, client_secret=CLIENT_SECRET, admins=("ada@acme.example",)
        )
        with pytest.raises(NotAdmitted, match="cannot be used"):
            await sign_in(session, Provider(session, settings))
