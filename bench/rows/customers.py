"""100,000 customers changed at once: at Klaviyo's real limits, and at limits low enough to bind."""

import asyncio
import time

from figures import Figure
from kustomer_klaviyo.rate_limits import DEFAULT_HEADROOM
from load import send
from processes import Bench
from traffic import customers

WEBHOOK = "/webhooks/kustomer/bench"
CUSTOMERS, CHUNK = 100_000, 5000
LIMIT_SCALE = 1 / 30
"""Factor for Klaviyo's limits in the run that must reach them."""


async def measure(bench: Bench) -> list[Figure]:
    """At the real limits ten bulk imports suffice and no limit binds.

    With limits reduced by a known factor, the time is compared with the minimum for that many imports at the share of
    the limit that is used.
    """
    count = bench.count(CUSTOMERS)
    real, requests, throttled = await _write_customers(bench, count, 1.0)
    slowed, few, refused = await _write_customers(bench, count, LIMIT_SCALE)
    imports, per_minute = few["bulk_import_profiles"], int(max(1, round(150 * LIMIT_SCALE)) * DEFAULT_HEADROOM)
    least = max(0.0, (imports - per_minute) / per_minute * 60)
    return [
        Figure(name=f"{count:,} customers written", value=count / real, unit="/s",
               target=f"{sum(requests.values())} requests, no 429", met=throttled == 0),
        Figure(name=f"... at 1/{1 / LIMIT_SCALE:.0f} of the limits", value=slowed, unit="s", yardstick=least,
               ratio=slowed / least if least else None, target=f"1.5 ({imports} imports, no 429)",
               met=refused == 0 and slowed <= 1.5 * least),
    ]  # fmt: skip


async def _write_customers(bench: Bench, count: int, rate_scale: float) -> tuple[float, dict[str, int], int]:
    """Change all customers at once; returns the seconds until Klaviyo has them, the requests and the 429s."""
    url = bench.new_database()
    async with bench.klaviyo(rate_scale=rate_scale) as klaviyo:
        await bench.connect(url, klaviyo)
        async with bench.serve(url) as service:
            began = time.perf_counter()
            for start in range(0, count, CHUNK):
                await send(service.url, customers(WEBHOOK, range(start, min(start + CHUNK, count))))
            while (state := await bench.state(klaviyo))["profiles"] < count:
                await asyncio.sleep(0.2)
            return time.perf_counter() - began, state["requests"], state["responses"].get("429", 0)
