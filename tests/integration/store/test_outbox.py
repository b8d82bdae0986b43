"""The outbox: what is stored with a delivery when its plan changes."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from kustomer_klaviyo.reasons import Reason
from kustomer_klaviyo.store import delivery_attempts, outbox
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.delivery_attempts import AttemptResult
from kustomer_klaviyo.store.outbox import DeliveryKind, DeliveryState, NewDelivery, ReplannedDelivery

KEY = "created:c1"


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    db = Database(database_url)
    await db.open()
    yield db
    await db.close()


async def test_a_new_plan_does_not_keep_the_detail_of_the_last_response(db: Database) -> None:
    new = NewDelivery(
        KEY, DeliveryKind.CREATED, "k1", "c1", datetime.now(UTC), 1, DeliveryState.PENDING, {}, identifier="a@b.co"
    )
    rejected = AttemptResult(
        KEY, DeliveryState.FAILED, Reason.REJECTED, response_status=400, response_detail="Invalid email address"
    )
    async with db.transaction() as tx:
        await outbox.insert(tx, "acme", [new])
        await delivery_attempts.record_results(tx, "acme", [rejected])
        await outbox.replan(tx, "acme", [ReplannedDelivery(KEY, DeliveryState.PENDING, identifier="a@b.co")])
    [row] = await db.fetch("SELECT state, reason, response_status, response_detail FROM deliveries")
    assert row == {"state": "pending", "reason": None, "response_status": 400, "response_detail": None}
