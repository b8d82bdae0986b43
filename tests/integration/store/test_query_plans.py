"""The cost of a query does not grow with the number of stored rows: plans of all queries that run without an admin."""

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
from support.seeded_database import seed_database
from support.temporary_database import temporary_database

CONNECTION = "acme"
NOW = datetime.now(UTC)
CUSTOMERS = [f"k{10 * number}" for number in range(20)]
CONVERSATIONS = [f"c{10 * number}" for number in range(20)]
KEYS = [f"done:c{10 * number}:0" for number in range(20)]
TWENTY: list[Any] = [None] * 20
PAIRS = ([CONNECTION] * 20, CUSTOMERS)


def rows(**columns: list[Any]) -> dict[str, Any]:
    """Return twenty rows as ``RowColumns`` sends them."""
    documents = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return {"rows": Jsonb(documents), "row_count": len(documents)}


CASES: dict[str, Any] = {
    "conversations.VERSIONS": ([CONNECTION] * 20, CONVERSATIONS),
    "conversations.BUMP_REVISIONS": ([CONNECTION] * 20, CONVERSATIONS, [9] * 20, ["same"] * 20),
    "conversations.NEWEST": (CONNECTION, CONVERSATIONS),
    "conversations.COUNT_OPEN_SINCE": (CUSTOMERS, [NOW - timedelta(days=3)] * 20, CONNECTION),
    "conversations.CHANGED_SINCE": (CUSTOMERS, [NOW - timedelta(days=3)] * 20, CONNECTION),
    "conversations.SAVE": {
        "connection_id": CONNECTION, "conversation_ids": CONVERSATIONS, **rows(
            conversation_id=CONVERSATIONS, customer_id=CUSTOMERS, rev=[6] * 20, fingerprint=["new"] * 20,
            observed=[{}] * 20, status_history=[{}] * 20, unanswered_rev=[0] * 20,
        ),
    },
    "recorded_facts.FIND": ([CONNECTION] * 20, KEYS),
    "recorded_facts.OF_CONVERSATIONS": (CONNECTION, CONVERSATIONS),
    "recorded_facts.SUPPORT_HISTORY": (CONNECTION, CUSTOMERS),
    "outbox.REPLANNABLE": {
        "connection_id": CONNECTION, "subjects": CUSTOMERS, "states": ["pending", "unidentified"],
        "failed_reasons": ["customer_removed"], "skip_reasons": ["only_tags", "only_attributes"],
    },
    "outbox.FAIL_UNIDENTIFIED": ("customer_not_read", CONNECTION, "k10", "looking_up_customer"),
    "outbox.FAILED_EVENTS": (CONNECTION, None, None, 1000),
    "outbox.REPLAN": {
        "connection_id": CONNECTION, "fact_keys": KEYS, **rows(
            fact_key=KEYS, state=["pending"] * 20, reason=TWENTY, identifier=TWENTY, request=TWENTY, fact=TWENTY,
            releasable=[False] * 20, subject=TWENTY, rev=[0] * 20,
        ),
    },
    "outbox.RETRY_FAILED_PROFILES": (CONNECTION, None, None),
    "outbox.FAIL_PENDING_EVENTS": ("customer_erased", CONNECTION, "k10"),
    "outbox.PENDING_PROFILES": (CONNECTION, "k10"),
    "delivery_attempts.DUE_EVENTS": {"connection_id": CONNECTION, "limit": 100},
    "delivery_attempts.DUE_PROFILES": {"connection_id": CONNECTION, "limit": 100},
    "delivery_attempts.RECORD_RESULTS": {
        "connection_id": CONNECTION, "fact_keys": KEYS, **rows(
            fact_key=KEYS, state=["delivered"] * 20, reason=TWENTY, due_at=TWENTY, response_status=TWENTY,
            response_request_id=TWENTY, response_detail=TWENTY, last_attempt_at=TWENTY, is_own_failure=[False] * 20,
            error_code=TWENTY, error_traceback=TWENTY,
        ),
    },
    "delivery_attempts.NEXT_DUE": (CONNECTION, NOW),
    "retention.EXPIRE": {
        "connection_id": CONNECTION, "days": 30, "no_customer": "no_customer",
        "never_any_customer": "never_any_customer", "never_identified": "never_identified",
    },
    "retention.DELETE_EXPIRED": (CONNECTION, 299, 299),
    "retention.DELETE_EXPIRED_PROFILES": (CONNECTION, 299),
    "bulk_imports.ASSIGN_DELIVERIES": ("i1", NOW, CONNECTION, KEYS),
    "bulk_imports.DUE": (CONNECTION,),
    "bulk_imports.NEXT_DUE": (CONNECTION,),
    "bulk_imports.DELIVERIES": (CONNECTION, "import1"),
    "bulk_imports.PENDING_REQUESTS": (CONNECTION,),
    "bulk_imports.IDS": (CONNECTION,),
    "inbox.INSERT_ID_COLLISIONS": {
        "connection_id": [CONNECTION] * 20, "event_id": TWENTY, "event_name": TWENTY, "conversation_id": TWENTY,
        "customer_id": TWENTY, "body": [b"x"] * 20, "received_at": [NOW] * 20,
    },
    "inbox.PENDING": (CONNECTION, 500),
    "inbox.SAVE_RESULTS": {
        "connection_id": CONNECTION, **rows(
            event_id=CONVERSATIONS, note=TWENTY, state=["processed"] * 20, reason=TWENTY, error_traceback=TWENTY,
        ),
    },
    "inbox.RETRY_FAILED": (CONNECTION,),
    "inbox.DELETE_EXPIRED": (CONNECTION, 30),
    "cards.OPEN": {"connection_id": CONNECTION, "customer_id": "k10", "allow_unknown": False},
    "cards.READ": (CONNECTION, "k10"),
    "cards.REQUEST_PREFETCH": PAIRS,
    "cards.DUE": (CONNECTION, ["w10"], 50),
    "cards.NEXT_DUE": (CONNECTION, ["w10"]),
    "cards.SAVE": (CUSTOMERS, TWENTY, [True] * 20, TWENTY, TWENTY, TWENTY, CONNECTION),
    "cards.EXPIRE_PREFETCHES": (CONNECTION, 10),
    "cards.INVALIDATE_UNKNOWN": (CONNECTION, CUSTOMERS),
    "cards.DELETE": (CONNECTION, CUSTOMERS),
    "cards.DELETE_UNUSED": {"connection_id": CONNECTION, "days": 7},
    "connection_status.CONNECTIONS_WITH_WORK": None,
    "connection_status.HAS_JOB": {"lock": "work:acme"},
    "lookups.DUE": (CONNECTION, ["customer"], ["k10"], 8),
    "lookups.RESCHEDULE": (1, NOW, "kustomer_unavailable", "503", CONNECTION, "customer", "k10"),
    "lookups.REPEAT": (NOW, CONNECTION, "customer", "k10"),
    "lookups.COMPLETE": (CONNECTION, "customer", "k10"),
    "lookups.NEXT_DUE": (CONNECTION, ["customer"], ["k10"]),
    "lookups.FAIL": ("kustomer_refused", "404", None, CONNECTION, "customer", "k10"),
    "lookups.RETRY_FAILED": (CONNECTION,),
    "lookups.CLAIM_RECURRING": (120, 8),
    "lookups.ENQUEUE_RECURRING": ([CONNECTION] * 20, ["sweep"] * 20, CONVERSATIONS),
    "lookups.SET_INTERVALS": ([CONNECTION] * 20, [60.0] * 20, "swept", "sweep", "customers"),
    "worker_processes.DELETE_UNREGISTERED": None,
    "worker_processes.ON_MACHINE": ("machine",),
    "worker_processes.UNREGISTER": {"worker_id": 1},
    "worker_processes.REGISTER": (1, "machine", 1, 1),
    "customers.SAVE": {
        "connection_id": CONNECTION, **rows(
            customer_id=CUSTOMERS, rev=[4] * 20, fingerprint=TWENTY, contacts=[{}] * 20, email=TWENTY, phone=TWENTY,
            removed=[False] * 20, skip_reason=TWENTY, profile=[{}] * 20, masked=[[]] * 20, notes=[[]] * 20,
            open_count=TWENTY, open_count_at=TWENTY, observed_at=TWENTY, usable_emails=[[]] * 20,
            usable_phones=[[]] * 20,
        ),
    },
    "customers.BUMP_REVISIONS": ([CONNECTION] * 20, CUSTOMERS, [4] * 20, ["new"] * 20),
    "customers.VERSIONS": PAIRS,
    "customers.IDENTIFIERS": (CONNECTION, CUSTOMERS),
    "customers.IDENTITIES": (CONNECTION, CUSTOMERS),
    "customers.SHARING_CONTACT": {
        "connection_id": CONNECTION, "customer_id": "k10", "emails": ["k20@lanternpost.example"],
        "phones": ["+447910000020"],
    },
    "customers.MERGE": {"connection_id": CONNECTION, "source": "k10", "target": "k20"},
    "customers.MERGE_TARGETS": {"connection_id": CONNECTION, "ids": CUSTOMERS},
    "customers.RESET_REMOVED": (CONNECTION, CUSTOMERS),
    "sent_profiles.LOCK_PROFILES": (CONNECTION, CUSTOMERS),
    "sent_profiles.SAVE_SENT": (CUSTOMERS, ["{}"] * 20, [2] * 20, CONNECTION),
    "sent_profiles.MARK_FOR_FULL_RESEND": (CUSTOMERS, ["{}"] * 20, CONNECTION),
    "sent_profiles.WITH_CONFIRMED_PROFILE": (CONNECTION, CUSTOMERS, timedelta(days=1)),
    "sent_profiles.SET_PROFILE_IDS": (CUSTOMERS, TWENTY, CONNECTION),
    "refused_values.ADD_NOTE": {"connection_id": CONNECTION, "customer_id": "k10", "note": "left out"},
    "refused_values.SET_CONFLICTING_PHONE": {
        "connection_id": CONNECTION, "customer_id": "k10", "phone": "+447911123456", "property": "p",
    },
    "refused_values.REFUSE_CONTACT": {
        "connection_id": CONNECTION, "customer_id": "k10", "contact": "k10@lanternpost.example",
    },
    "refused_values.REFUSE_FIELDS": {
        "connection_id": CONNECTION, "customer_id": "k10", "names": ["a"], "refused": Jsonb({}),
    },
    "refused_values.CLEAR_REFUSALS": {"connection_id": CONNECTION, "customer_ids": CUSTOMERS},
}  # fmt: skip
"""Parameters of every query that runs for an event, a delivery, a lookup, a card, a loop or retention."""

ADMIN_QUERIES = {
    "reports.STATUS",
    "reports.HEALTH",
    "reports.DELIVERIES",
    "reports.UNPROCESSED_EVENTS",
    "reports.STATES_BY_FACT_KEY",
}
"""They run when an admin looks."""

INSERT_ONLY = {
    "outbox.INSERT",
    "bulk_imports.INSERT",
    "inbox.INSERT",
    "inbox.INSERT_UNREADABLE",
    "lookups.ENQUEUE",
    "counters.INCREMENT",
    "bookmarks.PUT",
}
"""They read nothing but the index that finds a conflict."""

MODULES_OF_SMALL_TABLES = {"users", "connections", "setup_drafts", "klaviyo_names", "loop_failures"}
"""Their tables have a row per user, connection or campaign."""

SMALL_TABLES = {
    "connection_status.GET", "connection_status.HOLD", "connection_status.RECORD_ACCEPTANCE",
    "connection_status.SET_NOTE", "connection_status.SET_WEBHOOK_STATE", "bulk_imports.RESCHEDULE",
    "bulk_imports.DELETE",
}  # fmt: skip

SMALL, LARGE = 25_000, 100_000
"""Conversations; there are twice as many deliveries, and half as many customers."""

GROWING_TABLES = {"customers", "conversations", "deliveries", "inbox", "cards"}

_SQL = re.compile(r"\s*(--[^\n]*\n\s*)*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")


def queries() -> dict[str, str]:
    """Return every query of the program that is a constant."""
    modules = [
        importlib.import_module(module.name)
        for module in pkgutil.walk_packages(kustomer_klaviyo.__path__, f"{kustomer_klaviyo.__name__}.")
        if not module.name.endswith("__main__")
    ]
    return {
        f"{module.__name__.rsplit('.', 1)[-1]}.{name}": value
        for module in modules
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str) and _SQL.match(value)
    }


QUERIES = queries()


Sizes = tuple[psycopg.Connection, psycopg.Connection]


@pytest.fixture(scope="module")
def sizes(postgres_url: str) -> Iterator[Sizes]:
    """A small database and a large one."""
    with ExitStack() as stack:
        small, large = (
            stack.enter_context(psycopg.connect(stack.enter_context(temporary_database(postgres_url)), autocommit=True))
            for _ in range(2)
        )
        seed_database(small, conversations=SMALL, total=LARGE)
        seed_database(large, conversations=LARGE, total=LARGE)
        yield small, large


def query_plan(connection: psycopg.Connection, name: str) -> Any:
    """Return PostgreSQL's plan of a query."""
    text = psycopg.ClientCursor(connection).mogrify(QUERIES[name].encode(), CASES[name])
    row = connection.execute(b"EXPLAIN (FORMAT JSON) " + text.encode()).fetchone()
    assert row is not None
    return row[0][0]["Plan"]


def nodes(plan: Any) -> Iterator[Any]:
    """Yield each node of a plan."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def test_every_query_is_checked_or_known_to_need_no_check() -> None:
    known = CASES.keys() | ADMIN_QUERIES | INSERT_ONLY | SMALL_TABLES
    assert {name for name in QUERIES if name.split(".")[0] not in MODULES_OF_SMALL_TABLES} == known


@pytest.mark.parametrize("name", CASES)
def test_a_query_scans_no_growing_table(name: str, sizes: Sizes) -> None:
    large = query_plan(sizes[1], name)
    assert not [
        node["Relation Name"]
        for node in nodes(large)
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in GROWING_TABLES
    ]


@pytest.mark.parametrize("name", CASES)
def test_the_cost_of_a_query_does_not_grow_with_the_number_of_rows(name: str, sizes: Sizes) -> None:
    small, large = (query_plan(connection, name)["Total Cost"] for connection in sizes)
    assert large < 1.5 * small + 20, f"{small} with {SMALL} conversations, {large} with {LARGE}"
