"""Every command with every option used wrongly, and every setting with nonsense: one sentence, and nothing made."""

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

from commandline import Run
from kustomer_klaviyo.cli import COMMANDS
from kustomer_klaviyo.terminal import shown

NUMBERS = ("x", "-5", "1e400", "9" * 30, "nan", "", "\u0661\udcff")
URL = "https://hooks.acme.com"
NEEDED = {
    "connect": ["acme"],
    "mapping set": ["/nope.yaml"],
    "mapping preview": ["--customer", "5f19aa0b1c2d3e4f5a6b7c8d"],
    "routes set": ["acme"],
    "app definition": ["--public-url", URL],
    "app install": ["--public-url", URL],
    "admins remove": ["ada@acme.com"],
    "sandbox": ["kustomer"],
}
"""What a command cannot do without."""

SETTINGS = (
    "HOST", "PORT", "LOG_LEVEL", "FIRST_WAIT", "LONGEST_WAIT", "FIRST_PAUSE", "LONGEST_PAUSE", "TRIES", "PUBLIC_URL",
    "OIDC_ISSUER", "OIDC_ADMINS", "DATA", "SECRET_KEY", "METRICS_TOKEN",
)  # fmt: skip

LONG_RUNNING = ("serve", "worker", "sandbox", "demo")
NAMED = {
    "--connection": "nope",
    "--key": "nope",
    "--public-url": "hooks.acme.com",
    "--kustomer-url": "ftp://x",
    "--klaviyo-url": "http://[::1",
}
"""Options that name something, with something that is not there."""


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


def wrong_values(hint: Any) -> tuple[str, ...]:
    """Return values that no option of the type takes."""
    kinds = {part for part in (get_args(hint) or (hint,)) if part is not type(None)} if not _is_choice(hint) else {hint}
    if kinds & {int, float}:
        return NUMBERS
    if datetime in kinds:
        return ("year", "0000-01-01", "9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+14:00", "2999-01-01")
    return ("maybe", "") if any(map(_is_choice, kinds)) else ()


def _is_choice(hint: Any) -> bool:
    return get_origin(hint) is Literal or (isinstance(hint, type) and issubclass(hint, Enum))


def wrong_uses() -> Iterator[list[str]]:
    for name, app in commands():
        words = name.split()
        needed = NEEDED.get(name, [])
        yield [*words, *needed, "--nonsense"]
        yield [*words, *needed, "--nonsense", "x"]
        for argument in app.assemble_argument_collection():
            option = argument.names[0]
            if option.startswith("--"):
                given = [] if option == "--vendor" else needed
                values = wrong_values(argument.hint)
                yield from (
                    [*words, *given, option, value] for value in values if (option, value) != ("--clock-offset", "-5")
                )
                if argument.hint is not bool:
                    yield [*words, *given, option]


def shown_all(arguments: list[str]) -> str:
    return shown(" ".join(arguments))


@pytest.mark.parametrize("arguments", list(wrong_uses()), ids=shown_all)
def test_wrong_use_is_told_in_one_sentence_and_makes_nothing(arguments: list[str], run: Run, nowhere: Path) -> None:
    run(*arguments).assert_wrong(2)
    assert not nowhere.exists()


@pytest.mark.parametrize("name", [name for name, _ in commands() if name not in LONG_RUNNING])
def test_where_nothing_is_set_up_no_command_makes_anything(name: str, run: Run, nowhere: Path) -> None:
    run(*name.split(), *NEEDED.get(name, [])).assert_wrong(2, 3)
    assert not nowhere.exists()


def test_a_worker_makes_no_data_either(run: Run, nowhere: Path) -> None:
    run("worker").assert_wrong(3)
    assert not nowhere.exists()


@pytest.mark.parametrize("variable", SETTINGS)
@pytest.mark.parametrize("value", ["\udcff", "no such thing", "-1", "\u00b2", "nan"])
def test_nonsense_in_a_setting_is_told_in_one_sentence(
    variable: str, value: str, run: Run, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"KUSTOMER_KLAVIYO_{variable}", value)
    run("status").assert_wrong(2, 3)
    assert not nowhere.exists()


@pytest.mark.parametrize(
    "url",
    [
        "hooks.acme.com", "hooks.acme.com:443", "ftp://acme.com", "https://", "https:///x", "https://acme.com/path",
        "https://acme.com?x=1", "https://acme.com#x", "https://ada:secret@acme.com", "https://acme.com:99999",
        "https://acme.com:0", "https://acme .com", "https://[::1", "javascript:alert(1)",
    ],
)  # fmt: skip
def test_a_public_address_that_is_none_is_refused(url: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUSTOMER_KLAVIYO_PUBLIC_URL", url)
    ended = run("status")
    ended.assert_wrong(2)
    assert "KUSTOMER_KLAVIYO_PUBLIC_URL" in ended.complained
    assert "secret" not in ended.complained


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
def test_a_database_address_that_is_none_is_refused_without_its_password(
    url: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    ended = run("status")
    ended.assert_wrong(2)
    assert "ses" not in ended.complained


@contextmanager
def deaf() -> Iterator[int]:
    """Listen, and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as place:
        yield place.getsockname()[1]


@pytest.mark.parametrize("command", ["status", "events", "retry", "admins list", "mapping show", "routes show"])
def test_a_database_that_refuses_connections_is_told_with_exit_code_three(
    command: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with deaf() as port:
        pass
    monkeypatch.setenv("DATABASE_URL", f"postgresql://ada:sesame@127.0.0.1:{port}/x")
    ended = run(*command.split())
    ended.assert_wrong(3)
    assert "sesame" not in ended.complained
    assert str(port) in ended.complained


def test_a_database_that_never_answers_is_told_with_exit_code_three(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with deaf() as port:
        monkeypatch.setenv("DATABASE_URL", f"postgresql://ada:sesame@127.0.0.1:{port}/x")
        run("status").assert_wrong(3)


def test_a_database_that_is_not_there_and_a_role_that_is_not_are_told_with_exit_code_three(
    run: Run, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = postgres_url.replace("kustomer_klaviyo@", "ada:sesame@")
    for wrong in (postgres_url.replace("/kustomer_klaviyo?", "/nobodys?"), nobody):
        monkeypatch.setenv("DATABASE_URL", wrong)
        ended = run("status")
        ended.assert_wrong(3)
        assert "sesame" not in ended.complained


def test_an_empty_database_stays_empty(run: Run, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = sql.Identifier("empty_for_commands")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        url = postgres_url.replace("/kustomer_klaviyo?", "/empty_for_commands?")
        try:
            monkeypatch.setenv("DATABASE_URL", url)
            run("status").assert_wrong(3)
            with psycopg.connect(url) as there:
                row = there.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
            assert row == (0,)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def test_without_the_key_that_serve_made_a_command_makes_none(
    run: Run, database_url: str, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    ended = run("status")
    ended.assert_wrong(3)
    assert str(nowhere / "secret.key") in ended.complained
    assert not nowhere.exists()


@pytest.fixture
def key(nowhere: Path) -> Path:
    """A key file as `serve` makes it."""
    nowhere.mkdir(mode=0o700)
    file = nowhere / "secret.key"
    file.touch(mode=0o600)
    file.write_bytes(Fernet.generate_key())
    return file


def needing_a_name() -> Iterator[list[str]]:
    for name, app in commands():
        if name in (*LONG_RUNNING, "connect", "mapping set"):
            continue
        options = [one for argument in app.assemble_argument_collection() for one in argument.names if one in NAMED]
        yield from ([*name.split(), *NEEDED.get(name, []), one, NAMED[one]] for one in options)
    yield ["routes", "show", "nope"]
    yield ["routes", "set", "nope"]
    yield ["admins", "remove", "nope"]


@pytest.mark.parametrize("arguments", list(needing_a_name()), ids=" ".join)
def test_what_is_named_and_not_there_is_wrong_use(
    arguments: list[str], key: Path, database_url: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert key.exists()
    monkeypatch.setenv("DATABASE_URL", database_url)
    run(*arguments).assert_wrong(2)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_may_read_is_refused_with_what_to_type(
    mode: int, key: Path, database_url: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    key.chmod(mode)
    for command in (("status",), ("serve", "--port", "0")):
        ended = run(*command)
        ended.assert_wrong(3)
        assert f"chmod 600 {key}" in ended.complained
    assert stat.S_IMODE(key.stat().st_mode) == mode


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"too short", b"A" * 40])
def test_a_key_that_is_none_is_told_with_its_path(
    content: bytes, key: Path, database_url: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    key.write_bytes(content)
    ended = run("status")
    ended.assert_wrong(3)
    assert str(key) in ended.complained


@pytest.mark.parametrize("command", [["serve"], ["sandbox", "kustomer"], ["sandbox", "klaviyo"], ["demo"]])
def test_a_taken_port_is_told_by_its_number_before_anything_is_made(
    command: list[str], run: Run, nowhere: Path
) -> None:
    with deaf() as port:
        ended = run(*command, "--port", str(port))
    ended.assert_wrong(3)
    assert f"127.0.0.1:{port}" in ended.complained
    assert not nowhere.exists()


@pytest.mark.parametrize("host", ["a..b", "no such host", "256.1.1.1", "::zz"])
def test_a_host_that_is_none_is_told(host: str, run: Run, nowhere: Path) -> None:
    run("serve", "--host", host, "--port", "0").assert_wrong(2, 3)
    assert not nowhere.exists()


def test_a_data_directory_that_is_a_file_is_told_by_its_path(run: Run, nowhere: Path) -> None:
    nowhere.write_text("")
    for command in (("serve", "--port", "0"), ("status",)):
        ended = run(*command)
        ended.assert_wrong(3)
        assert str(nowhere) in ended.complained


def test_a_directory_in_which_nothing_may_be_made_is_told_by_its_path(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUSTOMER_KLAVIYO_DATA", "/proc/kustomer-klaviyo")
    ended = run("serve", "--port", "0")
    ended.assert_wrong(3)
    assert "/proc/kustomer-klaviyo" in ended.complained


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("spam=maybe", ("spam", "skip", "send", "maybe")),
        ("profiles=all", ("everyone", "conversations", "none")),
        ("on_deletion=", ("nothing", "clear", "erase")),
        ("update_only=perhaps", ("true", "false", "perhaps")),
        ("keep_events_days=1.5", ("whole number", "1.5")),
        ("keep_deliveries_days=99999999999", ("keep_deliveries_days", "36500")),
        ("sweep_minutes=nan", ("sweep_minutes",)),
        ("sweep_minutes=inf", ("sweep_minutes",)),
        ("card_minutes=soon", ("card_minutes", "number", "soon")),
        ("kustomer_share=nan", ("kustomer_share",)),
        ("spma=skip", ("'spam'",)),
        ("keep_event_days=3", ("'keep_events_days'",)),
        ("created_metric=a\u202eb", ("created_metric",)),
        ("spam", ("NAME=VALUE",)),
    ],
)
def test_an_option_of_a_connection_that_is_wrong_names_what_there_is(
    option: str, words: tuple[str, ...], run: Run, nowhere: Path
) -> None:
    ended = run("connect", "acme", "--public-url", URL, "--option", option)
    ended.assert_wrong(2)
    assert all(word in ended.complained for word in words), ended
    assert not nowhere.exists()
