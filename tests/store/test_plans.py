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

from filled import fill
from kustomer_klaviyo import flow, store
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
    "recorded.TOLD": ([CONNECTION] * 20, KEYS),
    "recorded.TOLD_OF": (CONNECTION, CONVERSATIONS),
    "deliveries.CONCERNED_BY": {
        "connection": CONNECTION, "subjects": CUSTOMERS, "states": ["waiting", "unidentified"],
        "gone": ["gone"], "left_out": ["tags", "attributes"],
    },
    "deliveries.FAIL_UNIDENTIFIED": ("why", CONNECTION, "k10", "looking"),
    "deliveries.FAILED": (CONNECTION, None, None, 1000),
    "deliveries.RESTATE": {
        "connection": CONNECTION, "keys": KEYS, "states": ["waiting"] * 20, "reasons": TWENTY, "identifiers": TWENTY,
        "calls": TWENTY, "facts": TWENTY, "held": [False] * 20, "subjects": TWENTY, "revs": [0] * 20,
    },
    "deliveries.FAILED_PROFILES": (CONNECTION, None, None),
    "deliveries.SET_ASIDE": ("why", CONNECTION, "k10"),
    "deliveries.OWED_PROFILES": (CONNECTION, "k10"),
    "recorded.SUPPORT": (CONNECTION, CUSTOMERS),
    "deliveries.DUE_EVENTS": {"connection": CONNECTION, "limit": 100},
    "deliveries.DUE_PROFILES": {"connection": CONNECTION, "limit": 100},
    "deliveries.SETTLE": {
        "connection": CONNECTION, "keys": KEYS, "states": ["delivered"] * 20, "reasons": TWENTY, "due": TWENTY,
        "statuses": TWENTY, "requests": TWENTY, "details": TWENTY, "attempted": TWENTY, "own": [0] * 20,
        "codes": TWENTY, "errors": TWENTY,
    },
    "deliveries.NEXT_DUE": (CONNECTION, NOW),
    "retention.EXPIRE": {
        "connection": CONNECTION, "days": 30, "no_customer": "none", "never_any": "never", "never_identified": "not",
    },
    "retention.PURGE": (CONNECTION, 299, 299),
    "retention.PURGE_PROFILES": (CONNECTION, 299),
    "imports.CARRY": ("i1", NOW, CONNECTION, KEYS),
    "imports.DUE": (CONNECTION,),
    "imports.NEXT_DUE": (CONNECTION,),
    "imports.CARRIED": (CONNECTION, "import1"),
    "imports.CALLS": (CONNECTION,),
    "imports.IDS": (CONNECTION,),
    "inbox.LAND_NAMESAKES": ([CONNECTION] * 20, TWENTY, TWENTY, TWENTY, TWENTY, [b"x"] * 20, [NOW] * 20),
    "inbox.WAITING": (CONNECTION, 500),
    "inbox.UNDERSTOOD": (CONVERSATIONS, TWENTY, [False] * 20, TWENTY, TWENTY, CONNECTION),
    "inbox.REPLAY": (CONNECTION,),
    "inbox.PURGE": (CONNECTION, 30),
    "insights.OPEN": {"connection": CONNECTION, "customer": "k10", "may_ask": False},
    "insights.READ": (CONNECTION, "k10"),
    "insights.AHEAD": PAIRS,
    "insights.DUE": (CONNECTION, ["w10"], 50),
    "insights.NEXT_DUE": (CONNECTION, ["w10"]),
    "insights.SAVE": (CUSTOMERS, TWENTY, [True] * 20, TWENTY, TWENTY, TWENTY, CONNECTION),
    "insights.GIVE_UP_AHEAD": (CONNECTION, 10),
    "insights.KNOWN_BY_NOW": (CONNECTION, CUSTOMERS),
    "insights.FORGET": (CONNECTION, CUSTOMERS),
    "insights.PURGE": {"connection": CONNECTION, "days": 7},
    "lanes.DUE": None,
    "lookups.DUE": (CONNECTION, ["customer"], ["k10"], 8),
    "lookups.LATER": (1, NOW, "why", CONNECTION, "customer", "k10"),
    "lookups.AGAIN": (NOW, CONNECTION, "customer", "k10"),
    "lookups.ANSWERED": (CONNECTION, "customer", "k10"),
    "lookups.NEXT_DUE": (CONNECTION, ["customer"], ["k10"]),
    "lookups.FAILED": ("why", "why", CONNECTION, "customer", "k10"),
    "lookups.ASK_FAILED": (CONNECTION,),
    "people.SAVE": (
        CONNECTION, CUSTOMERS, [4] * 20, TWENTY, ["{}"] * 20, TWENTY, TWENTY, [False] * 20, TWENTY, ["{}"] * 20,
        TWENTY, TWENTY, TWENTY, ["[]"] * 20, ["[]"] * 20, ["[]"] * 20, ["[]"] * 20,
    ),
    "people.ADVANCE": ([CONNECTION] * 20, CUSTOMERS, [4] * 20, ["new"] * 20),
    "people.KNOWN": PAIRS,
    "people.IDENTIFIED": (CONNECTION, CUSTOMERS),
    "people.REACHABLE": (CONNECTION, CUSTOMERS),
    "people.PROFILED": (CONNECTION, CUSTOMERS),
    "people.STATE": (CUSTOMERS, ["{}"] * 20, [2] * 20, CONNECTION),
    "people.DOUBT": (CUSTOMERS, ["{}"] * 20, CONNECTION),
    "people.NAMED": (CONNECTION, CUSTOMERS, timedelta(days=1)),
    "people.NAME_PROFILES": (CUSTOMERS, TWENTY, CONNECTION),
    "refused.NOTE": {"connection": CONNECTION, "customer": "k10", "note": "why"},
    "lookups.PLAN": (60, CONNECTION, "swept", CONNECTION, "sweep", "customers"),
    "refused.TAKEN_PHONE": {"connection": CONNECTION, "customer": "k10", "phone": "+447911123456", "property": "p"},
    "people.SHARERS": {
        "connection": CONNECTION, "customer": "k10", "emails": ["k20@lanternpost.example"], "phones": ["+447910000020"],
    },
    "people.MERGE": {"connection": CONNECTION, "source": "k10", "target": "k20"},
    "people.FORGET_GONE": (CONNECTION, CUSTOMERS),
    "refused.REFUSE_CONTACT": {"connection": CONNECTION, "customer": "k10", "contact": "k10@lanternpost.example"},
    "refused.REFUSE_FIELDS": {"connection": CONNECTION, "customer": "k10", "names": ["a"], "refused": Jsonb({})},
    "refused.FORGET": {"connection": CONNECTION, "customers": CUSTOMERS},
    "people.ALIASES": {"connection": CONNECTION, "ids": CUSTOMERS},
}  # fmt: skip
"""Every query that runs for an event, a delivery, a look-up, a card, a turn or a round, with what it is asked."""

ASKED_BY_ADMINS = {"reports.STATUS", "reports.LANES", "reports.EVENTS", "reports.NOT_UNDERSTOOD"}
"""Run when somebody looks."""

ONLY_INSERTS = {
    "deliveries.ADD",
    "imports.ADD",
    "inbox.LAND",
    "inbox.KEEP",
    "lookups.ASK",
    "tallies.ADD",
    "bookmarks.PUT",
}
"""Read nothing but the index that finds a conflict."""

ROOMS_OF_FEW_ROWS = {"accounts", "connections", "drafts", "names", "loop_failures"}
"""Their tables have a row for each account, connection, campaign."""

FEW_ROWS = {
    "lanes.GET", "lanes.WAIT", "lanes.ACCEPTED", "lanes.NOTE", "lanes.NOTE_WEBHOOK", "imports.LATER", "imports.END",
}  # fmt: skip

SMALL, LARGE = 25_000, 100_000
"""Conversations kept; twice as many deliveries, half as many customers."""

GROWING = {"people", "conversations", "deliveries", "inbox", "insights"}

_SQL = re.compile(r"\s*(--[^\n]*\n\s*)*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")


def queries() -> dict[str, str]:
    """Return every query of the product that is a constant."""
    rooms = [
        importlib.import_module(f"{room.__name__}.{module.name}")
        for room in (store, flow)
        for module in pkgutil.iter_modules(room.__path__)
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
