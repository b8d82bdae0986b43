"""Invalid responses of an OpenID Connect provider are reported as such."""

from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from kustomer_klaviyo.auth.oidc import OidcClient, OidcSettings, start_sign_in
from kustomer_klaviyo.auth.sign_in_errors import SignInError, SignInErrorCode
from support.oidc_provider import CLIENT_ID, CLIENT_SECRET, run_provider

REDIRECT_URI = "http://127.0.0.1/sign-in/callback"
DEEPLY_NESTED = b"[" * 100_000
CONFIGURATION, TOKEN, KEYS = "/.well-known/openid-configuration", "/token", "/keys"


async def sign_in(session: aiohttp.ClientSession, client: OidcClient) -> None:
    """Go to the provider and return, as a browser does."""
    pending = start_sign_in()
    async with session.get(await client.authorization_url(pending, REDIRECT_URI), allow_redirects=False) as response:
        code = parse_qs(urlsplit(response.headers["Location"]).query)["code"][0]
    await client.complete(pending, state=pending.state, code=code, redirect_uri=REDIRECT_URI)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CONFIGURATION, DEEPLY_NESTED),
        (CONFIGURATION, b"\xff"),
        (
            CONFIGURATION,
            b'{"issuer": "%(url)s", "authorization_endpoint": "x", "token_endpoint": "y", "jwks_uri": "z"}',
        ),
        (TOKEN, DEEPLY_NESTED),
        (TOKEN, b'{"id_token": 5}'),
        (TOKEN, b'{"id_token": "W1tbW1s.e30.x"}'),
        (TOKEN, b'{"id_token": "eyJhbGciOiBbXX0.e30.x"}'),
        (TOKEN, b'{"id_token": "eyJhbGciOiAiUlMyNTYiLCAia2lkIjogWzFdfQ.e30.x"}'),
        (TOKEN, b'{"id_token": "\xc3\xa9.\xc3\xa9.\xc3\xa9"}'),
        (KEYS, DEEPLY_NESTED),
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
async def test_an_invalid_response_of_the_provider_is_reported(path: str, body: bytes) -> None:
    async with run_provider() as provider, aiohttp.ClientSession() as session:
        provider.overrides[path] = body.replace(b"%(url)s", provider.url.encode())
        settings = OidcSettings(
            issuer=provider.url, client_id=CLIENT_ID, client_secret=CLIENT_SECRET, admins=("ada@acme.example",)
        )
        with pytest.raises(SignInError) as raised:
            await sign_in(session, OidcClient(session, settings))
    assert raised.value.code is SignInErrorCode.INVALID_PROVIDER_RESPONSE
