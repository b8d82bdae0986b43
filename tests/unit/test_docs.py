"""The documentation covers every variable, option, command, status and route. Its links and paths are valid."""

import importlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields
from enum import StrEnum
from pathlib import Path

import pytest
from cyclopts import App

from kustomer_klaviyo.card.card_status import CardStatus
from kustomer_klaviyo.cli import COMMANDS
from kustomer_klaviyo.cli.connect import KLAVIYO_KEY, KUSTOMER_KEY, WEBHOOK_TOKEN
from kustomer_klaviyo.connections.options import LINK_OPTIONS, ConnectionOptions
from kustomer_klaviyo.health.item_errors import ErrorCode
from kustomer_klaviyo.health.loop_health import Loop
from kustomer_klaviyo.klaviyo.scopes import PROBES
from kustomer_klaviyo.kustomer.roles import PERMISSIONS, is_granted
from kustomer_klaviyo.reasons import InboxReason
from kustomer_klaviyo.runtime.connection_health import HealthStatus
from kustomer_klaviyo.sandbox import klaviyo, kustomer
from kustomer_klaviyo.sandbox.corruptions import CORRUPTIONS
from kustomer_klaviyo.settings import load_settings
from kustomer_klaviyo.store.outbox import DeliveryState

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCE = ROOT / "src" / "kustomer_klaviyo"
DOCUMENTS = sorted((*DOCS.rglob("*.md"), *ROOT.glob("*.md")))
OPTIONS = [field.name for field in fields(ConnectionOptions)]
LINK = re.compile(r"\]\(([^)\s]+)\)")
PATH = re.compile(r"`((?:[\w.-]+/)*\w+\.py|(?:[\w.-]+/)+[\w.-]+\.(?:js|jsx|lock|md|sql))(?:::(\w+))?`")


class EmptyEnvironment(Mapping[str, str]):
    """An environment without variables. It records the names that are read."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def environment_variables() -> set[str]:
    """Return the environment variables that the program reads."""
    environment = EmptyEnvironment()
    load_settings(environment)
    return environment.names | {KUSTOMER_KEY, KLAVIYO_KEY, WEBHOOK_TOKEN}


def commands() -> Iterator[str]:
    """Return the name of every command, with its subcommand."""
    for path in COMMANDS:
        module, _, name = path.partition(":")
        command = getattr(importlib.import_module(module), name)
        if isinstance(command, App):
            yield from (f"{name} {subcommand}" for subcommand in command if not subcommand.startswith("-"))
        else:
            yield name


def format_default(value: str | float) -> str:
    """Return an option's default as the documentation writes it."""
    if isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"


def control_routes() -> set[str]:
    """Return the control routes of the simulated vendors in the form ``/sandbox/customers/ID``."""
    resources = [route for vendor in (klaviyo, kustomer) for route in vendor.create_app().router.resources()]
    paths = {route.canonical for route in resources if route.canonical.startswith("/sandbox/")}
    return {re.sub(r"\{(\w+)\}", lambda match: match.group(1).upper(), path) for path in paths}


def read(*names: str) -> str:
    """Return the text of documents in ``docs/``."""
    return "\n".join((DOCS / name).read_text() for name in names)


def undocumented(names: Collection[str], text: str) -> set[str]:
    """Return the names that do not occur as code in the text, as ``name`` or ``name=value``."""
    return {name for name in names if re.search(rf"`{re.escape(name)}[`=]", text) is None}


def anchors(document: Path) -> set[str]:
    """Return the anchors of the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(document: Path) -> list[str]:
    """Return the links of a document to missing files or headings."""
    return [link for link in LINK.findall(document.read_text()) if "://" not in link and not _exists(document, link)]


def missing_paths(text: str) -> list[str]:
    """Return the file paths, written as code, that do not exist in the repository or the package.

    ``path::test`` is missing if the file does not define the test.
    """
    return [
        path for path, test in PATH.findall(text) if not any(_defines(base / path, test) for base in (ROOT, SOURCE))
    ]


def _defines(path: Path, test: str) -> bool:
    return path.is_file() and (not test or f"def {test}(" in path.read_text())


def _exists(document: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = document.parent / path if path else document
    return target.is_file() and (not anchor or anchor in anchors(target))


def test_every_environment_variable_is_documented() -> None:
    assert undocumented(environment_variables(), read("operating.md")) == set()


def test_every_option_of_a_connection_is_documented() -> None:
    assert undocumented(OPTIONS, read("operating.md")) == set()


def test_every_command_is_documented() -> None:
    assert undocumented({f"kustomer-klaviyo {command}" for command in commands()}, read("operating.md")) == set()


@pytest.mark.parametrize("name", sorted(set(OPTIONS) - set(LINK_OPTIONS)))
def test_the_default_of_an_option_is_documented(name: str) -> None:
    default = getattr(ConnectionOptions(), name)
    row = re.search(rf"^\| `{name}` \| ([^|]+) \|", read("operating.md"), re.MULTILINE)
    assert row is not None
    if isinstance(default, str | int | float):
        assert row.group(1).strip("`") == format_default(default)


def test_every_scope_is_documented_as_required_or_optional() -> None:
    documented = dict(re.findall(r"^\| `([a-z-]+:[a-z]+)` \| (\w+)", read("connecting.md"), re.MULTILINE))
    assert {scope: word == "yes" for scope, word in documented.items()} == {
        probe.scope: probe.is_required for probe in PROBES
    }


def test_the_documented_roles_grant_exactly_the_permissions() -> None:
    rows = re.findall(r"^\| (`org\.[^|]+) \| (\w+)", read("connecting.md"), re.MULTILINE)
    roles = [(role, word == "yes") for names, word in rows for role in re.findall(r"`([\w.]+)`", names)]
    all_roles, required = [role for role, _ in roles], [role for role, is_required in roles if is_required]
    assert [permission.name for permission in PERMISSIONS if not is_granted(permission.name, all_roles)] == []
    assert [
        permission.name for permission in PERMISSIONS if is_granted(permission.name, required) != permission.is_required
    ] == []


def test_every_status_of_the_card_is_documented() -> None:
    assert undocumented(list(CardStatus), read("card.md")) == set()


@pytest.mark.parametrize("codes", [HealthStatus, Loop, ErrorCode, DeliveryState, InboxReason])
def test_every_code_that_commands_print_is_documented(codes: type[StrEnum]) -> None:
    assert undocumented(list(codes), read("operating.md")) == set()


def test_every_corruption_is_documented() -> None:
    assert undocumented(CORRUPTIONS, read("sandbox.md")) == set()


def test_every_control_route_of_the_simulated_vendors_is_documented() -> None:
    text = read("sandbox.md")
    assert {path for path in control_routes() if path not in text} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_link_is_valid(document: Path) -> None:
    assert broken_links(document) == []


def test_the_readme_links_every_document() -> None:
    linked = {link.partition("#")[0] for link in LINK.findall((ROOT / "README.md").read_text())}
    assert {f"docs/{document.name}" for document in DOCS.glob("*.md")} - linked == set()


def test_the_list_of_decisions_links_every_decision() -> None:
    decisions = DOCS / "decisions"
    linked = set(LINK.findall((decisions / "README.md").read_text()))
    assert {document.name for document in decisions.glob("0*.md")} - linked == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_path_exists(document: Path) -> None:
    assert missing_paths(document.read_text()) == []


@pytest.mark.parametrize("link", ["nowhere.md", "there.md#nothing", "#nothing", "missing.png"])
def test_a_broken_link_is_found(tmp_path: Path, link: str) -> None:
    (tmp_path / "there.md").write_text("# Something\n")
    document = tmp_path / "document.md"
    document.write_text(
        f"# Here it is\n[a](there.md#something) [b](#here-it-is) [c](https://acme.com/x) ![d]({link})\n"
    )
    assert broken_links(document) == [link]


def test_a_missing_path_is_found() -> None:
    text = "`settings.py` `docs/operating.md` `cli/status.py` `cli/nowhere.py` `tests/unit/test_docs.py::test_nothing`"
    assert missing_paths(text) == ["cli/nowhere.py", "tests/unit/test_docs.py"]


def test_only_the_exact_name_as_code_counts_as_documented() -> None:
    assert undocumented(["spam"], "Spam, spam, and `spam_filter`, and `no spam`") == {"spam"}
    assert undocumented(["spam"], "`spam`") == undocumented(["spam"], "`spam=send`") == set()
