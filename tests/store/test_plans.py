"""What a query costs does not grow with what is kept: the plans of all that run for an event, a card or a turn."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

import kustomer_klaviyo
from filled import fill
from stage import own_database

CONNECTION = "acme"
NOW = datetime.now(UTC)
CUSTOMERS = [f"k{10 * number}" for number in range(20)]
CONVERSATIONS = [f"c{10 * number}" for number in range(20)]
KEYS = [f"closed:c{10 * number}:0" for number in range(20)]
TWENTY: list[Any] = [None] * 20
PAIRS = ([CONNECTION] * 20, CUSTOMERS)

CASES: dict[str, Any] = {
    "conversations.KNOWN": ([CONNECTION] * 20, CONVERSATIONS),
    "conversations.ADVANCE": ([CONNECTION] * 20, CONVERSATIONS, [9] * 20, ["same"] * 20),
    "conversations.NEWEST": (CONNECTION, CONVERSATIONS),
    "conversations.BEGAN": (CUSTOMERS, [NOW - timedelta(days=3)] * 20, CONNECTION),
    "conversations.TURNED": (CUSTOMERS, [NOW - timedelta(days=3)] * 20, CONNECTION),
    "conversations.SAVE": {
        "connection": CONNECTION, "ids": CONVERSATIONS, "customers": CUSTOMERS, "revs": [6] * 20,
        "fingerprints": ["new"] * 20, "seen": ["{}"] * 20, "turns": ["{}"] * 20,
        "unanswered": [0] * 20,
    },
    "recorded_facts.TOLD": ([CONNECTION] * 20, KEYS),
    "recorded_facts.TOLD_OF": (CONNECTION, CONVERSATIONS),
    "outbox.CONCERNED_BY": {
        "connection": CONNECTION, "subjects": CUSTOMERS, "states": ["waiting", "unidentified"],
        "gone": ["gone"], "left_out": ["tags", "attributes"],
    },
    "outbox.FAIL_UNIDENTIFIED": ("why", CONNECTION, "k10", "looking"),
    "outbox.FAILED": (CONNECTION, None, None, 1000),
    "outbox.RESTATE": {
        "connection": CONNECTION, "keys": KEYS, "states": ["waiting"] * 20, "reasons": TWENTY, "identifiers": TWENTY,
        "calls": TWENTY, "facts": TWENTY, "held": [False] * 20, "subjects": TWENTY, "revs": [0] * 20,
    },
    "outbox.FAILED_PROFILES": (CONNECTION, None, None),
    "outbox.SET_ASIDE": ("why", CONNECTION, "k10"),
    "outbox.OWED_PROFILES": (CONNECTION, "k10"),
    "recorded_facts.SUPPORT": (CONNECTION, CUSTOMERS),
    "outbox.DUE_EVENTS": {"connection": CONNECTION, "limit": 100},
    "outbox.DUE_PROFILES": {"connection": CONNECTION, "limit": 100},
    "outbox.SETTLE": {
        "connection": CONNECTION, "keys": KEYS, "states": ["delivered"] * 20, "reasons": TWENTY, "due": TWENTY,
        "statuses": TWENTY, "requests": TWENTY, "details": TWENTY, "attempted": TWENTY, "own": [0] * 20,
        "codes": TWENTY, "errors": TWENTY,
    },
    "outbox.NEXT_DUE": (CONNECTION, NOW),
    "retention.EXPIRE": {
        "connection": CONNECTION, "days": 30, "no_customer": "none", "never_any": "never", "never_identified": "not",
    },
    "retention.PURGE": (CONNECTION, 299, 299),
    "retention.PURGE_PROFILES": (CONNECTION, 299),
    "bulk_imports.CARRY": ("i1", NOW, CONNECTION, KEYS),
    "bulk_imports.DUE": (CONNECTION,),
    "bulk_imports.NEXT_DUE": (CONNECTION,),
    "bulk_imports.CARRIED": (CONNECTION, "import1"),
    "bulk_imports.CALLS": (CONNECTION,),
    "bulk_imports.IDS": (CONNECTION,),
    "inbox.LAND_NAMESAKES": ([CONNECTION] * 20, TWENTY, TWENTY, TWENTY, TWENTY, [b"x"] * 20, [NOW] * 20),
    "inbox.WAITING": (CONNECTION, 500),
    "inbox.UNDERSTOOD": (CONVERSATIONS, TWENTY, [False] * 20, TWENTY, TWENTY, CONNECTION),
    "inbox.REPLAY": (CONNECTION,),
    "inbox.PURGE": (CONNECTION, 30),
    "cards.OPEN": {"connection": CONNECTION, "customer": "k10", "may_ask": False},
    "cards.READ": (CONNECTION, "k10"),
    "cards.AHEAD": PAIRS,
    "cards.DUE": (CONNECTION, ["w10"], 50),
    "cards.NEXT_DUE": (CONNECTION, ["w10"]),
    "cards.SAVE": (CUSTOMERS, TWENTY, [True] * 20, TWENTY, TWENTY, TWENTY, CONNECTION),
    "cards.GIVE_UP_AHEAD": (CONNECTION, 10),
    "cards.KNOWN_BY_NOW": (CONNECTION, CUSTOMERS),
    "cards.FORGET": (CONNECTION, CUSTOMERS),
    "cards.PURGE": {"connection": CONNECTION, "days": 7},
    "connection_status.DUE": None,
    "lookups.DUE": (CONNECTION, ["customer"], ["k10"], 8),
    "lookups.LATER": (1, NOW, "why", CONNECTION, "customer", "k10"),
    "lookups.AGAIN": (NOW, CONNECTION, "customer", "k10"),
    "lookups.ANSWERED": (CONNECTION, "customer", "k10"),
    "lookups.NEXT_DUE": (CONNECTION, ["customer"], ["k10"]),
    "lookups.FAILED": ("why", "why", CONNECTION, "customer", "k10"),
    "lookups.ASK_FAILED": (CONNECTION,),
    "customers.SAVE": (
        CONNECTION, CUSTOMERS, [4] * 20, TWENTY, ["{}"] * 20, TWENTY, TWENTY, [False] * 20, TWENTY, ["{}"] * 20,
        TWENTY, TWENTY, TWENTY, ["[]"] * 20, ["[]"] * 20, ["[]"] * 20, ["[]"] * 20,
    ),
    "customers.ADVANCE": ([CONNECTION] * 20, CUSTOMERS, [4] * 20, ["new"] * 20),
    "customers.KNOWN": PAIRS,
    "customers.IDENTIFIED": (CONNECTION, CUSTOMERS),
    "customers.REACHABLE": (CONNECTION, CUSTOMERS),
    "customers.PROFILED": (CONNECTION, CUSTOMERS),
    "customers.STATE": (CUSTOMERS, ["{}"] * 20, [2] * 20, CONNECTION),
    "customers.DOUBT": (CUSTOMERS, ["{}"] * 20, CONNECTION),
    "customers.NAMED": (CONNECTION, CUSTOMERS, timedelta(days=1)),
    "customers.NAME_PROFILES": (CUSTOMERS, TWENTY, CONNECTION),
    "refused_values.NOTE": {"connection": CONNECTION, "customer": "k10", "note": "why"},
    "lookups.PLAN": (60, CONNECTION, "swept", CONNECTION, "sweep", "customers"),
    "refused_values.TAKEN_PHONE": {
        "connection": CONNECTION, "customer": "k10", "phone": "+447911123456", "property": "p",
    },
    "customers.SHARERS": {
        "connection": CONNECTION, "customer": "k10", "emails": ["k20@lanternpost.example"], "phones": ["+447910000020"],
    },
    "customers.MERGE": {"connection": CONNECTION, "source": "k10", "target": "k20"},
    "customers.FORGET_GONE": (CONNECTION, CUSTOMERS),
    "refused_values.REFUSE_CONTACT": {
        "connection": CONNECTION, "customer": "k10", "contact": "k10@lanternpost.example",
    },
    "refused_values.REFUSE_FIELDS": {"connection": CONNECTION, "customer": "k10", "names": ["a"], "refused": Jsonb({})},
    "refused_values.FORGET": {"connection": CONNECTION, "customers": CUSTOMERS},
    "customers.ALIASES": {"connection": CONNECTION, "ids": CUSTOMERS},
}  # fmt: skip
"""Every query that runs for an event, a delivery, a look-up, a card, a turn or a round, with what it is asked."""

ASKED_BY_ADMINS = {"reports.STATUS", "reports.LANES", "reports.EVENTS", "reports.NOT_UNDERSTOOD"}
"""Run when somebody looks."""

ONLY_INSERTS = {
    "outbox.ADD",
    "bulk_imports.ADD",
    "inbox.LAND",
    "inbox.KEEP",
    "lookups.ASK",
    "counters.ADD",
    "bookmarks.PUT",
}
"""Read nothing but the index that finds a conflict."""

ROOMS_OF_FEW_ROWS = {"users", "connections", "setup_drafts", "klaviyo_names", "loop_failures"}
"""Their tables have a row for each account, connection, campaign."""

FEW_ROWS = {
    "connection_status.GET", "connection_status.WAIT", "connection_status.ACCEPTED",
    "connection_status.NOTE", "connection_status.NOTE_WEBHOOK", "bulk_imports.LATER", "bulk_imports.END",
}  # fmt: skip

SMALL, LARGE = 25_000, 100_000
"""Conversations kept; twice as many deliveries, half as many customers."""

GROWING = {"people", "conversations", "deliveries", "inbox", "insights"}

_SQL = re.compile(r"\s*(--[^\n]*\n\s*)*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")


def queries() -> dict[str, str]:
    """Return every query of the product that is a constant."""
    rooms = [
        importlib.import_module(module.name)
        for module in pkgutil.walk_packages(kustomer_klaviyo.__path__, f"{kustomer_klaviyo.__name__}.")
        if not module.name.endswith("__main__")
    ]
    return {
        f"{room.__name__.rsplit('.', 1)[-1]}.{name}": value
        for room in rooms
        for name, value in vars(room).items()
        if name.isupper() and isinstance(value, str) and _SQL.match(value)
    }


QUERIES = queries()


Sizes = tuple[psycopg.Connection, psycopg.Connection]


@pytest.fixture(scope="module")
def sizes(postgres_url: str) -> Iterator[Sizes]:
    """A database where little is kept, and one where much is."""
    with ExitStack() as stack:
        little, much = (
            stack.enter_context(psycopg.connect(stack.enter_context(own_database(postgres_url)), autocommit=True))
            for _ in range(2)
        )
        fill(little, kept=SMALL, whole=LARGE)
        fill(much, kept=LARGE, whole=LARGE)
        yield little, much


def explained(connection: psycopg.Connection, name: str) -> Any:
    """Return the plan of a query, as PostgreSQL means to carry it out."""
    text = psycopg.ClientCursor(connection).mogrify(QUERIES[name].encode(), CASES[name])
    row = connection.execute(b"EXPLAIN (FORMAT JSON) " + text.encode()).fetchone()
    assert row is not None
    return row[0][0]["Plan"]


def nodes(plan: Any) -> Iterator[Any]:
    """Yield each node of a plan."""
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def test_every_query_is_either_held_here_or_known_to_need_no_holding() -> None:
    known = CASES.keys() | ASKED_BY_ADMINS | ONLY_INSERTS | FEW_ROWS
    assert {name for name in QUERIES if name.split(".")[0] not in ROOMS_OF_FEW_ROWS} == known


@pytest.mark.parametrize("name", CASES)
def test_a_query_reads_no_table_that_grows_from_end_to_end(name: str, sizes: Sizes) -> None:
    much = explained(sizes[1], name)
    assert not [
        node["Relation Name"]
        for node in nodes(much)
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in GROWING
    ]


@pytest.mark.parametrize("name", CASES)
def test_what_a_query_costs_does_not_grow_with_what_is_kept(name: str, sizes: Sizes) -> None:
    little, much = (explained(connection, name)["Total Cost"] for connection in sizes)
    assert much < 1.5 * little + 20, f"{little} with {SMALL} conversations, {much} with {LARGE}"
