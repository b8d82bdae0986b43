"""Every command with every option misused, and every setting with invalid values: one error line, nothing created."""

import importlib
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import psycopg
import pytest
from cryptography.fernet import Fernet
from cyclopts import App
from psycopg import sql

from kustomer_klaviyo.cli import COMMANDS
from kustomer_klaviyo.terminal import escape
from support.cli_runner import RunCommand

NUMBERS = ("x", "-5", "1e400", "9" * 30, "nan", "", "\u0661\udcff")
URL = "https://hooks.acme.com"
REQUIRED = {
    "connect": ["acme"],
    "mapping set": ["/nope.yaml"],
    "mapping preview": ["--customer", "5f19aa0b1c2d3e4f5a6b7c8d"],
    "routes set": ["acme"],
    "app definition": ["--public-url", URL],
    "app install": ["--public-url", URL],
    "admins remove": ["ada@acme.com"],
    "sandbox": ["kustomer"],
}
"""The required arguments of each command."""

SETTINGS = (
    "HOST", "PORT", "LOG_LEVEL", "RETRY_INITIAL_SECONDS", "RETRY_MAX_SECONDS",
    "AUTH_RETRY_INITIAL_SECONDS", "AUTH_RETRY_MAX_SECONDS", "RETRY_MAX_ATTEMPTS", "PUBLIC_URL",
    "OIDC_ISSUER", "OIDC_ADMINS", "DATA_DIRECTORY", "SECRET_KEY", "METRICS_TOKEN",
)  # fmt: skip

LONG_RUNNING = ("serve", "worker", "sandbox", "demo")
UNKNOWN_NAMES = {
    "--connection": "nope",
    "--key": "nope",
    "--public-url": "hooks.acme.com",
    "--kustomer-url": "ftp://x",
    "--klaviyo-url": "http://[::1",
}
"""Options that name something, each with a name that does not exist, or an invalid URL."""


def commands() -> Iterator[tuple[str, App]]:
    """Return every command of the tree."""
    tree = App()
    for path in COMMANDS:
        module, _, name = path.partition(":")
        tree.command(getattr(importlib.import_module(module), name))

    def below(app: App, before: str) -> Iterator[tuple[str, App]]:
        for name in app:
            if not name.startswith("-"):
                whole = f"{before} {name}".strip()
                yield from [(whole, app[name])] if app[name].default_command else below(app[name], whole)

    return below(tree, "")


def invalid_values(hint: Any) -> tuple[str, ...]:
    """Return values that are invalid for the type."""
    kinds = {part for part in (get_args(hint) or (hint,)) if part is not type(None)} if not _is_choice(hint) else {hint}
    if kinds & {int, float}:
        return NUMBERS
    if datetime in kinds:
        return ("year", "0000-01-01", "9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+14:00", "2999-01-01")
    return ("maybe", "") if any(map(_is_choice, kinds)) else ()


def _is_choice(hint: Any) -> bool:
    return get_origin(hint) is Literal or (isinstance(hint, type) and issubclass(hint, Enum))


def misuses() -> Iterator[list[str]]:
    for name, app in commands():
        words = name.split()
        needed = REQUIRED.get(name, [])
        yield [*words, *needed, "--nonsense"]
        yield [*words, *needed, "--nonsense", "x"]
        for argument in app.assemble_argument_collection():
            option = argument.names[0]
            if option.startswith("--"):
                given = [] if option == "--vendor" else needed
                values = invalid_values(argument.hint)
                yield from (
                    [*words, *given, option, value] for value in values if (option, value) != ("--clock-offset", "-5")
                )
                if argument.hint is not bool:
                    yield [*words, *given, option]


def arguments_id(arguments: list[str]) -> str:
    return escape(" ".join(arguments))


@pytest.mark.parametrize("arguments", list(misuses()), ids=arguments_id)
def test_misuse_is_one_error_line_and_creates_nothing(arguments: list[str], run: RunCommand, nowhere: Path) -> None:
    run(*arguments).assert_one_error_line(2)
    assert not nowhere.exists()


@pytest.mark.parametrize("name", [name for name, _ in commands() if name not in LONG_RUNNING])
def test_without_a_set_up_service_no_command_creates_anything(name: str, run: RunCommand, nowhere: Path) -> None:
    run(*name.split(), *REQUIRED.get(name, [])).assert_one_error_line(2, 3)
    assert not nowhere.exists()


def test_a_worker_creates_no_data_either(run: RunCommand, nowhere: Path) -> None:
    run("worker").assert_one_error_line(3)
    assert not nowhere.exists()


@pytest.mark.parametrize("variable", SETTINGS)
@pytest.mark.parametrize("value", ["\udcff", "no such thing", "-1", "\u00b2", "nan"])
def test_an_invalid_setting_is_one_error_line(
    variable: str, value: str, run: RunCommand, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"KUSTOMER_KLAVIYO_{variable}", value)
    run("status").assert_one_error_line(2, 3)
    assert not nowhere.exists()


@pytest.mark.parametrize(
    "url",
    [
        "hooks.acme.com", "hooks.acme.com:443", "ftp://acme.com", "https://", "https:///x", "https://acme.com/path",
        "https://acme.com?x=1", "https://acme.com#x", "https://ada:secret@acme.com", "https://acme.com:99999",
        "https://acme.com:0", "https://acme .com", "https://[::1", "javascript:alert(1)",
    ],
)  # fmt: skip
def test_an_invalid_public_url_is_rejected(url: str, run: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUSTOMER_KLAVIYO_PUBLIC_URL", url)
    result = run("status")
    result.assert_one_error_line(2)
    assert "KUSTOMER_KLAVIYO_PUBLIC_URL" in result.stderr
    assert "secret" not in result.stderr


@pytest.mark.parametrize(
    "url",
    [
        "mysql://ada:sesame@localhost/x", "postgresql://ada:ses@ame@localhost/x", "postgresql://ada:ses/ame@localhost/x",
        "postgresql://ada:sesame@localhost:port/x", "postgresql://ada:ses%zzame@localhost/x", "sesame",
        "host=localhost password='sesame", "postgresql://ada:sesame@localhost/x?nonsense=1", "postgres:/sesame",
        "postgresql://ada:sesame@[localhost/x", "postgresql://ada:sesame@localhost:99999/x",
        "host=localhost port=0 password=sesame",
    ],
)  # fmt: skip
def test_an_invalid_database_url_is_rejected_without_its_password(
    url: str, run: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    result = run("status")
    result.assert_one_error_line(2)
    assert "ses" not in result.stderr


@contextmanager
def silent_listener() -> Iterator[int]:
    """Listen and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("command", ["status", "events", "retry", "admins list", "mapping show", "routes show"])
def test_a_database_that_refuses_connections_is_exit_code_three(
    command: str, run: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    with silent_listener() as port:
        pass
    monkeypatch.setenv("DATABASE_URL", f"postgresql://ada:sesame@127.0.0.1:{port}/x")
    result = run(*command.split())
    result.assert_one_error_line(3)
    assert "sesame" not in result.stderr
    assert str(port) in result.stderr


def test_a_database_that_never_answers_is_exit_code_three(run: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    with silent_listener() as port:
        monkeypatch.setenv("DATABASE_URL", f"postgresql://ada:sesame@127.0.0.1:{port}/x")
        run("status").assert_one_error_line(3)


def test_an_unknown_database_or_role_is_exit_code_three(
    run: RunCommand, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown_role = postgres_url.replace("kustomer_klaviyo@", "ada:sesame@")
    for url in (postgres_url.replace("/kustomer_klaviyo?", "/unknown?"), unknown_role):
        monkeypatch.setenv("DATABASE_URL", url)
        result = run("status")
        result.assert_one_error_line(3)
        assert "sesame" not in result.stderr


def test_an_empty_database_stays_empty(run: RunCommand, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = sql.Identifier("empty_for_commands")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        url = postgres_url.replace("/kustomer_klaviyo?", "/empty_for_commands?")
        try:
            monkeypatch.setenv("DATABASE_URL", url)
            run("status").assert_one_error_line(3)
            with psycopg.connect(url) as there:
                row = there.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
            assert row == (0,)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def test_without_the_encryption_key_a_command_creates_none(
    run: RunCommand, database_url: str, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    result = run("status")
    result.assert_one_error_line(3)
    assert str(nowhere / "secret.key") in result.stderr
    assert not nowhere.exists()


@pytest.fixture
def key(nowhere: Path) -> Path:
    """A key file like the one that `serve` creates."""
    nowhere.mkdir(mode=0o700)
    file = nowhere / "secret.key"
    file.touch(mode=0o600)
    file.write_bytes(Fernet.generate_key())
    return file


def unknown_names() -> Iterator[list[str]]:
    for name, app in commands():
        if name in (*LONG_RUNNING, "connect", "mapping set"):
            continue
        options = [option for argument in app.assemble_argument_collection() for option in argument.names]
        for option in filter(UNKNOWN_NAMES.__contains__, options):
            yield [*name.split(), *REQUIRED.get(name, []), option, UNKNOWN_NAMES[option]]
    yield ["routes", "show", "nope"]
    yield ["routes", "set", "nope"]
    yield ["admins", "remove", "nope"]


@pytest.mark.parametrize("arguments", list(unknown_names()), ids=" ".join)
def test_an_unknown_name_is_a_usage_error(
    arguments: list[str], key: Path, database_url: str, run: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert key.exists()
    monkeypatch.setenv("DATABASE_URL", database_url)
    run(*arguments).assert_one_error_line(2)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_rejected_with_the_fix(
    mode: int, key: Path, database_url: str, run: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    key.chmod(mode)
    for command in (("status",), ("serve", "--port", "0")):
        result = run(*command)
        result.assert_one_error_line(3)
        assert f"chmod 600 {key}" in result.stderr
    assert stat.S_IMODE(key.stat().st_mode) == mode


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"too short", b"A" * 40])
def test_an_invalid_key_is_reported_with_its_path(
    content: bytes, key: Path, database_url: str, run: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    key.write_bytes(content)
    result = run("status")
    result.assert_one_error_line(3)
    assert str(key) in result.stderr


@pytest.mark.parametrize("command", [["serve"], ["sandbox", "kustomer"], ["sandbox", "klaviyo"], ["demo"]])
def test_a_port_in_use_is_reported_before_anything_is_created(
    command: list[str], run: RunCommand, nowhere: Path
) -> None:
    with silent_listener() as port:
        result = run(*command, "--port", str(port))
    result.assert_one_error_line(3)
    assert f"127.0.0.1:{port}" in result.stderr
    assert not nowhere.exists()


@pytest.mark.parametrize("host", ["a..b", "no such host", "256.1.1.1", "::zz"])
def test_an_invalid_host_is_reported(host: str, run: RunCommand, nowhere: Path) -> None:
    run("serve", "--host", host, "--port", "0").assert_one_error_line(2, 3)
    assert not nowhere.exists()


def test_a_data_directory_that_is_a_file_is_reported(run: RunCommand, nowhere: Path) -> None:
    nowhere.write_text("")
    for command in (("serve", "--port", "0"), ("status",)):
        result = run(*command)
        result.assert_one_error_line(3)
        assert str(nowhere) in result.stderr


def test_an_unwritable_data_directory_is_reported(run: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUSTOMER_KLAVIYO_DATA_DIRECTORY", "/proc/kustomer-klaviyo")
    result = run("serve", "--port", "0")
    result.assert_one_error_line(3)
    assert "/proc/kustomer-klaviyo" in result.stderr


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("spam=maybe", ("spam", "skip", "send", "maybe")),
        ("profiles=all", ("everyone", "conversations", "none")),
        ("on_deletion=", ("nothing", "clear", "erase")),
        ("update_only=perhaps", ("true", "false", "perhaps")),
        ("event_retention_days=1.5", ("whole number", "1.5")),
        ("delivery_retention_days=99999999999", ("delivery_retention_days", "36500")),
        ("sweep_interval_minutes=nan", ("sweep_interval_minutes",)),
        ("sweep_interval_minutes=inf", ("sweep_interval_minutes",)),
        ("card_max_age_minutes=soon", ("card_max_age_minutes", "number", "soon")),
        ("kustomer_rate_share=nan", ("kustomer_rate_share",)),
        ("spma=skip", ("'spam'",)),
        ("event_retention_day=3", ("'event_retention_days'",)),
        ("created_metric=a\u202eb", ("created_metric",)),
        ("spam", ("NAME=VALUE",)),
    ],
)
def test_an_invalid_connection_option_names_the_valid_values(
    option: str, words: tuple[str, ...], run: RunCommand, nowhere: Path
) -> None:
    result = run("connect", "acme", "--public-url", URL, "--option", option)
    result.assert_one_error_line(2)
    assert all(word in result.stderr for word in words), result
    assert not nowhere.exists()
