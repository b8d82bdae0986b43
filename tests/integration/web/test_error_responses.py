"""Failed requests: no input causes an internal error, and an internal error is logged, counted and answered."""

import itertools
import re
from collections.abc import AsyncIterator, Iterator

import pytest
from structlog.testing import capture_logs
from yarl import URL

from kustomer_klaviyo.store.users import Role, Users
from support.raw_http import RawResponse, open_raw_connection, send_raw
from support.temporary_database import temporary_database, temporary_directory
from support.webhook_server import METRICS_TOKEN, WebhookServer, run_webhook_server

FORM = "application/x-www-form-urlencoded"
PATHS = (
    "/", "/health", "/ready", "/metrics", "/sign-in", "/sign-out", "/account", "/account/password", "/connect",
    "/connect/{}/kustomer", "/connections/{}", "/connections/{}/key", "/connections/{}/metrics", "/invitation/{}",
    "/assets/{}", "/card/{}", "/card/assets/{}", "/card/{}/customers/{}", "/webhooks/kustomer/{}", "/{}", "*",
)  # fmt: skip
METHODS = ("GET", "POST", "HEAD", "OPTIONS", "DELETE", "TRACE")
SEGMENTS = (
    "x", "%00", "%ff%fe", "%ED%A0%BD", "%", "%zz", "..%2f..%2fetc", "%0d%0aX:%20y", "a%20b", "%F0%9F%98%80",
    "%E2%80%AE", "x" * 5000, "9" * 5000, "%25", "a;b", "-1",
)  # fmt: skip
QUERIES = (
    "state=%00&code=%00", "code=x&state=%ED%A0%BD", "code=%ff", "error=%00%ff", "page=" + "9" * 6000, "%", "&&==&=",
    "a[]=1&a[b]=2", "x=" + "%00" * 1000, "&".join(f"f{n}={n}" for n in range(3000)),
)  # fmt: skip
HEADERS = (
    "Host: a:b", "Host: a:99999999999", "Host: \xe4", "Host: a b", "Host: here\r\nHost: there", "Host:",
    "Host: [::1", "Host: [::1]:x", "Host: here\r\nX-Forwarded-For: " + "9" * 6000,
    "Host: here\r\nX-Forwarded-For: 1.2.3.4:" + "9" * 6000, "Host: here\r\nX-Forwarded-For: fe80::1%" + "z" * 6000,
    "Host: here\r\nX-Forwarded-For: \xff", "Host: here\r\nX-Forwarded-Proto: \xff",
    "Host: here\r\nCookie: kk_session=\xff; kk_form=%00", "Host: here\r\nCookie: kk_session=" + "x" * 9000,
    "Host: here\r\nCookie: kk_form=%0d%0aSet-Cookie:%20a=b", "Host: here\r\nCookie: kk_form=\xe9%E2%82%AC",
    'Host: here\r\nCookie: ;;;=;"=\\', "Host: here\r\nAuthorization: \xff", "Host: here\r\nAuthorization: Bearer \xff",
    "Host: here\r\nAccept: text/html;q=\xff", "Host: here\r\nSec-Fetch-Site: \xff",
    "Host: here\r\nContent-Type: \xff; charset=\xff", "Host: here\r\nUpgrade: websocket\r\nConnection: upgrade",
    "Host: here\r\nExpect: something", "Host: here\r\nX-Kustomer-Webhook-Signature: \xff",
    "Host: here\r\nRange: bytes=\xff", "Host: here\r\nIf-Modified-Since: \xff",
)  # fmt: skip
BODIES = (
    (FORM, b"email=%00&password=%00"), (FORM, b"email=\xff&password=%ff"), (FORM, b"csrf_token=%ED%A0%BD"),
    (FORM, b"email=%F0%9F%98%80&" + b"a=b&" * 3000), (FORM, b"%"), (FORM, b"=&=&;"), (FORM, b"email" * 2000),
    (f"{FORM}; charset=latin-99", b"email=x"), (f"{FORM}; charset=utf-7", b"email=+AAA-"),
    ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="email"\r\n\r\n\xff\r\n--x--'),
    ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\na\r\n--x--'),
    ("multipart/form-data; boundary=x", b"--x\r\n\r\na"), ("multipart/form-data", b"--x"),
    ("multipart/form-data; boundary=\xff", b"--x"), ("application/json", b"\xff"), ("application/json", b"[" * 9000),
    ("application/msgpack", b"\xc1"), ("", b"\x00"),
)  # fmt: skip


FIELDS = (
    "email",
    "password",
    "current_password",
    "new_password",
    "site_id",
    "key",
    "url",
    "created_metric",
    "everywhere",
)
VALUES = (
    "%00", "%ED%A0%BD", "%C2%80", "%F0%9F%98%80", "%E2%80%AE%EF%BB%BF", "%C4%B0@acme.example", "@", "9" * 5000,
    "http://[::1", "http://a:b", "x%00@acme.example",
)  # fmt: skip


@pytest.fixture(scope="module")
async def server(postgres_url: str) -> AsyncIterator[WebhookServer]:
    with temporary_directory() as directory, temporary_database(postgres_url) as url:
        async with run_webhook_server(url, directory) as ready:
            yield ready


def request(method: str, path: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *headers, f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def inputs() -> Iterator[bytes]:
    """Yield requests to every route, with every kind of unusual input."""
    for method, path in itertools.product(METHODS, PATHS):
        yield request(method, path.replace("{}", "x"), "Host: here")
    for path, segment in itertools.product(PATHS, SEGMENTS):
        if "{}" in path:
            for method in ("GET", "POST"):
                yield request(method, path.replace("{}", segment), "Host: here")
    for path in PATHS:
        concrete = path.replace("{}", "x")
        for query in (*QUERIES, "\xff\xfe"):
            yield request("GET", f"{concrete}?{query}", "Host: here")
        for method, headers in itertools.product(("GET", "POST"), HEADERS):
            yield request(method, concrete, headers)
        for kind, body in BODIES:
            yield request("POST", concrete, "Host: here", f"Content-Type: {kind}", body=body)


async def metric(server: WebhookServer, name: str) -> float:
    headers = {"Authorization": f"Bearer {METRICS_TOKEN}"}
    async with server.session.get(f"{server.url}/metrics", headers=headers) as response:
        found = re.search(rf"^{re.escape(name)} (\S+)$", await response.text(), re.MULTILINE)
        return float(found.group(1)) if found else 0.0


async def test_no_anonymous_input_causes_an_internal_error(server: WebhookServer) -> None:
    with capture_logs() as logged:
        for raw_request in inputs():
            response = await send_raw(server.url, raw_request)
            assert response, raw_request[:200]
            assert response.status < 500, (response, raw_request[:200])
            assert_default_headers(response)
    assert [line for line in logged if line["log_level"] == "error"] == []


async def test_no_form_with_a_csrf_token_causes_an_internal_error(server: WebhookServer) -> None:
    users = Users(server.app.db)
    user = await users.add("ada@acme.example", Role.ADMIN, None)
    assert user
    token = await users.create_session(user, hours=1)
    current_user = await users.current_user(token)
    assert current_user
    cookies = f"Cookie: kk_session={token}; kk_form={'a' * 32}"
    forms = [(kind, body) for kind, body in BODIES if kind.startswith(FORM)]
    fields = [f"{name}={value}".encode() for name, value in itertools.product(FIELDS, VALUES)]
    for path in PATHS:
        if path == "/sign-out":
            continue
        csrf_token = "a" * 32 if path in ("/sign-in", "/invitation/{}") else current_user.csrf_token
        for kind, body in [*forms, *((FORM, field) for field in fields)]:
            form = body + b"&csrf_token=" + csrf_token.encode()
            headers = ("Host: here", cookies, f"Content-Type: {kind}")
            raw_request = request("POST", path.replace("{}", "x"), *headers, body=form)
            response = await send_raw(server.url, raw_request)
            assert response
            assert response.status < 500, (response, raw_request)


@pytest.mark.parametrize(
    "line",
    [
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: -1",
        "Content-Length: x",
        "Content-Length: 1\r\nTransfer-Encoding: chunked",
        "A b: c",
        ": x",
        "X: \x00",
    ],
)
async def test_invalid_http_is_400(server: WebhookServer, line: str) -> None:
    response = await send_raw(server.url, f"POST /sign-in HTTP/1.1\r\nHost: here\r\n{line}\r\n\r\nx".encode())
    assert response
    assert response.status == 400
    assert_default_headers(response)


@pytest.mark.parametrize(
    "headers",
    ["Host: a:b", "Host: here\r\nHost: there", f"Host: here\r\nX-Forwarded-For: {'9' * 6000}"],
)
async def test_an_invalid_header_is_400_and_is_named(server: WebhookServer, headers: str) -> None:
    response = await send_raw(server.url, request("GET", "/sign-in", headers))
    assert response
    assert response.status == 400
    assert headers.rsplit("\r\n", 1)[-1].partition(":")[0].encode() in response.body


async def test_webhooks_are_accepted_whatever_the_client_address(server: WebhookServer) -> None:
    body = b'{"id": "1", "name": "kustomer-klaviyo.test", "data": null}'
    for headers in ({"X-Forwarded-For": "_hidden"}, {"X-Forwarded-For": "9" * 6000}):
        async with server.session.post(f"{server.url}/webhooks/kustomer/acme", data=body, headers=headers) as response:
            assert response.status == 401, "the signature is checked"


@pytest.mark.parametrize("path", ["/broken", "/webhooks/broken"])
async def test_an_internal_error_is_logged_with_its_traceback_counted_and_answered_with_its_id(
    server: WebhookServer, path: str
) -> None:
    name = f'kustomer_klaviyo_request_failures_total{{route="{path}"}}'
    before = await metric(server, name)
    with capture_logs() as logged:
        async with server.session.get(server.url + path) as response:
            assert (response.status, response.content_type) == (500, "application/problem+json")
            problem = await response.json()
            assert problem["request_id"] == response.headers["X-Request-Id"]
    [line] = [entry for entry in logged if entry["event"] == "request.failed"]
    assert (line["request_id"], line["route"]) == (problem["request_id"], path)
    assert isinstance(line["exc_info"], ZeroDivisionError)
    assert await metric(server, name) == before + 1


async def test_browsers_get_an_error_page_with_the_request_id(server: WebhookServer) -> None:
    for path, status in (("/broken", 500), ("/nowhere", 404), ("/%00", 400)):
        async with server.session.get(
            URL(server.url + path, encoded=True), headers={"Accept": "text/html"}
        ) as response:
            assert (response.status, response.content_type) == (status, "text/html")
            assert response.headers["X-Request-Id"] in await response.text()
            assert "style-src 'self'" in response.headers["Content-Security-Policy"]


async def test_by_https_cookies_have_the_host_prefix(server: WebhookServer) -> None:
    for scheme, name in (("https", "__Host-kk_form"), ("http", "kk_form")):
        async with server.session.get(f"{server.url}/sign-in", headers={"X-Forwarded-Proto": scheme}) as response:
            [cookie] = response.headers.getall("Set-Cookie")
            assert cookie.startswith(f"{name}=")
            assert ("Secure" in cookie) == (scheme == "https")
            assert "Path=/;" in cookie
            assert "Domain" not in cookie
            token = cookie.partition("=")[2].partition(";")[0]
        for cookie_name, accepted in ((name, True), ("kk_form" if scheme == "https" else "__Host-kk_form", False)):
            headers = {"X-Forwarded-Proto": scheme, "Cookie": f"{cookie_name}={token}"}
            form = {"csrf_token": token, "email": "ada@acme.example", "password": "a guess"}
            async with server.session.post(f"{server.url}/sign-in", data=form, headers=headers) as response:
                assert ("password is wrong" in await response.text()) == accepted


async def test_a_disconnecting_client_is_not_an_internal_error(server: WebhookServer) -> None:
    with capture_logs() as logged:
        async with open_raw_connection(server.url) as wire:
            await wire.send(b"POST /sign-in HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\nabc")
        for _ in range(3):
            async with server.session.get(f"{server.url}/health") as response:
                assert response.status == 200
    assert logged == []


async def test_an_unavailable_database_is_503(server: WebhookServer) -> None:
    async with server.app.db.transaction() as tx:
        await tx.execute("LOCK sessions")
        await server.app.db.close()
        async with server.session.get(f"{server.url}/", headers={"Cookie": "kk_session=x"}) as response:
            assert response.status == 503


def assert_default_headers(response: RawResponse) -> None:
    for name, value in (
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    ):
        assert response.header(name) == value
    is_sandboxed = "sandbox" in response.header("content-security-policy")
    assert response.header("cross-origin-opener-policy") == ("unsafe-none" if is_sandboxed else "same-origin")
    assert response.header("permissions-policy").startswith("camera=()")
    assert re.fullmatch("[0-9a-f]{16}", response.header("x-request-id"))
    kind = next((value for name, value in response.headers if name == "content-type"), None)
    if kind is not None and not kind.startswith("image/"):
        assert kind.count("charset=utf-8") == kind.lower().count("charset") == 1, kind
