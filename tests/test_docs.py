"""What there is, the documents name; and what they lead to is there."""

import importlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields
from pathlib import Path

import pytest
from cyclopts import App

from kustomer_klaviyo.card.card_view import FACES
from kustomer_klaviyo.cli import COMMANDS
from kustomer_klaviyo.cli.connect import KLAVIYO_KEY, KUSTOMER_KEY, WEBHOOK_TOKEN
from kustomer_klaviyo.connections.options import LINKS, ConnectionOptions
from kustomer_klaviyo.klaviyo.scopes import PROBES
from kustomer_klaviyo.kustomer.roles import PERMISSIONS, is_granted
from kustomer_klaviyo.sandbox import klaviyo, kustomer
from kustomer_klaviyo.settings import load_settings

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
DOCUMENTS = sorted((*DOCS.glob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"))
OPTIONS = [one.name for one in fields(ConnectionOptions)]
LINK = re.compile(r"\]\(([^)\s]+)\)")


class Asked(Mapping[str, str]):
    """An environment in which nothing is set, and which remembers what was asked for."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def variables() -> set[str]:
    """Return the environment variables that the program reads."""
    environment = Asked()
    load_settings(environment)
    return environment.names | {KUSTOMER_KEY, KLAVIYO_KEY, WEBHOOK_TOKEN}


def commands() -> Iterator[str]:
    """Return every command by its whole name."""
    for path in COMMANDS:
        module, _, name = path.partition(":")
        command = getattr(importlib.import_module(module), name)
        if isinstance(command, App):
            yield from (f"{name} {below}" for below in command if not below.startswith("-"))
        else:
            yield name


def written(value: str | float) -> str:
    """Return a value as an admin writes it."""
    if isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else f"{value:g}"


def control_routes() -> set[str]:
    """Return the simulated vendors' own routes, as documents write them: ``/sandbox/customers/ID``."""
    resources = [one for vendor in (klaviyo, kustomer) for one in vendor.create_app().router.resources()]
    paths = {one.canonical for one in resources if one.canonical.startswith("/sandbox/")}
    return {re.sub(r"\{(\w+)\}", lambda part: part.group(1).upper(), path) for path in paths}


def read(*names: str) -> str:
    """Return some documents, or all, as one text."""
    return "\n".join(one.read_text() for one in ([DOCS / name for name in names] or DOCUMENTS))


def unnamed(names: Collection[str], text: str) -> set[str]:
    """Return those of the names that the text has nowhere as code: ``name`` or ``name=value``."""
    return {name for name in names if re.search(rf"`{re.escape(name)}[`=]", text) is None}


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(document: Path) -> list[str]:
    """Return the links of a document that lead to no file, or to no heading of one."""
    return [link for link in LINK.findall(document.read_text()) if "://" not in link and not _leads(document, link)]


def _leads(document: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = document.parent / path if path else document
    return target.is_file() and (not anchor or anchor in anchors(target))


def test_every_environment_variable_is_documented() -> None:
    assert unnamed(variables(), read("operating.md")) == set()


def test_every_option_of_a_connection_is_documented() -> None:
    assert unnamed(OPTIONS, read("operating.md")) == set()


def test_every_command_is_documented() -> None:
    assert unnamed({f"kustomer-klaviyo {one}" for one in commands()}, read("operating.md")) == set()


@pytest.mark.parametrize("name", sorted(set(OPTIONS) - set(LINKS)))
def test_the_default_of_an_option_is_the_one_documented(name: str) -> None:
    default = getattr(ConnectionOptions(), name)
    said = re.search(rf"^\| `{name}` \| ([^|]+) \|", read("operating.md"), re.MULTILINE)
    assert said is not None
    if isinstance(default, str | int | float):
        assert said.group(1).strip("`") == written(default)


def test_every_scope_is_documented_as_needed_or_not() -> None:
    said = dict(re.findall(r"^\| `([a-z-]+:[a-z]+)` \| (\w+)", read("connecting.md"), re.MULTILINE))
    assert {scope: word == "yes" for scope, word in said.items()} == {one.scope: one.is_needed for one in PROBES}


def test_the_documented_roles_grant_all_that_is_asked_for_and_the_needed_ones_what_is_needed() -> None:
    rows = re.findall(r"^\| (`org\.[^|]+) \| (\w+)", read("connecting.md"), re.MULTILINE)
    roles = [(role, word == "yes") for names, word in rows for role in re.findall(r"`([\w.]+)`", names)]
    everything, needed = [role for role, _ in roles], [role for role, is_needed in roles if is_needed]
    assert [one.name for one in PERMISSIONS if not is_granted(one.name, everything)] == []
    assert [one.name for one in PERMISSIONS if is_granted(one.name, needed) != one.is_needed] == []


def test_every_face_of_the_card_is_documented() -> None:
    assert unnamed(("known", *FACES), read("card.md")) == set()


def test_every_route_by_which_the_simulated_vendors_are_steered_is_documented() -> None:
    text = read("sandbox.md")
    assert {path for path in control_routes() if path not in text} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    assert broken_links(document) == []


def test_every_document_is_reached_from_the_first_page_or_from_operating() -> None:
    linked = {link.partition("#")[0].rpartition("/")[2] for link in LINK.findall(read("operating.md"))}
    linked |= {link.partition("#")[0].rpartition("/")[2] for link in LINK.findall((ROOT / "README.md").read_text())}
    assert {one.name for one in DOCS.glob("*.md")} - linked == set()


@pytest.mark.parametrize("link", ["nowhere.md", "there.md#nothing", "#nothing", "missing.png"])
def test_a_link_that_leads_nowhere_is_found(tmp_path: Path, link: str) -> None:
    (tmp_path / "there.md").write_text("# Something\n")
    document = tmp_path / "document.md"
    document.write_text(
        f"# Here it is\n[a](there.md#something) [b](#here-it-is) [c](https://acme.com/x) ![d]({link})\n"
    )
    assert broken_links(document) == [link]


def test_a_name_is_not_documented_by_prose_nor_by_a_longer_name() -> None:
    assert unnamed(["spam"], "Spam, spam, and `spam_filter`, and `no spam`") == {"spam"}
    assert unnamed(["spam"], "`spam`") == unnamed(["spam"], "`spam=send`") == set()
