"""Untrusted text never controls the terminal: no markup, no control characters, no reversed text."""

import json
import logging
from urllib.parse import quote

import pytest
import structlog
from rich.console import Console

from kustomer_klaviyo.cli.logs import start_logging
from kustomer_klaviyo.cli.output import bold, print_error, print_json, print_line, print_text, table, warning
from kustomer_klaviyo.terminal import escape, is_harmful

HOSTILE = (
    "[/]x@lantern.io", "[link=https://evil.example]here[/link]", "[bold]", "\\[", "x\\", ":smile:", "\x1b[31mred",
    "\x9b31m", "\u202egnp.exe", "\u2066x\u2069", "\u200e", "a\rb", "a\nb", "a\tb", "\x00", "\x7f", "\u2028", "\ufeff",
    "\ud83d", "\U000e0041",
)  # fmt: skip


def assert_harmless(printed: str) -> None:
    assert [character for character in printed if is_harmful(character) and character != "\n"] == []


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_line_prints_hostile_text_as_text(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_line("seen: ", bold(text), warning(text), text)
    printed = capsys.readouterr().out
    assert printed == f"seen: {escape(text) * 3}\n"
    assert_harmless(printed)


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_table_prints_hostile_text_as_text(text: str) -> None:
    console = Console(width=200, markup=True)
    with console.capture() as printed:
        console.print(table("who", rows=[[text], [bold(text)]]))
    assert printed.get().count(escape(text)) == 2
    assert_harmless(printed.get())


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_an_error_is_one_line(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_error(f"{text} is refused")
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert_harmless(printed)


@pytest.mark.parametrize("text", [text for text in HOSTILE if text != "\ud83d"], ids=ascii)
def test_json_keeps_its_meaning_and_is_harmless(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"email": text})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"email": text}
    assert_harmless(printed)


def test_text_of_several_lines_is_printed_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_text("a\n\x1b[31mb\n")
    assert capsys.readouterr().out == "a\n\\x1b[31mb\n"


def test_joined_emoji_and_letters_of_every_script_are_unchanged() -> None:
    text = "Zoë 👩\u200d🚀 日本 क्\u200dष naïve"
    assert escape(text) == text


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_logs_contain_neither_control_characters_nor_the_database_password(
    text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ada:ses%40me@localhost/x")
    handlers = logging.getLogger().handlers[:]
    start_logging("info")
    structlog.get_logger().info("seen", who=text, why="ses@me and ses%40me")
    logging.getLogger("library").warning("%s ses@me", text)
    logging.getLogger().handlers[:] = handlers
    structlog.reset_defaults()
    printed = capsys.readouterr().err
    assert printed.count("\n") == 2
    assert "ses" not in printed
    assert_harmless(printed)


@pytest.mark.parametrize("password", ['ses"ame', "ses\\ame", "sés ame", "ses/ame", "ses%ame"])
def test_a_password_is_redacted_in_every_form(
    password: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", password)
    handlers = logging.getLogger().handlers[:]
    start_logging("info")
    structlog.get_logger().info("seen", why=f"{password} {password!r} {quote(password, safe='')}")
    logging.getLogger().handlers[:] = handlers
    structlog.reset_defaults()
    printed = capsys.readouterr().err
    assert "***" in printed
    assert "ame" not in printed.replace("name", "")
