"""Memory of ``serve`` after many events, against its memory after 10,000."""

from figures import Figure, at_most
from load import send
from processes import Bench, memory_megabytes
from traffic import conversations, customers

WEBHOOK = "/webhooks/kustomer/bench"
EARLY, LATE = 10_000, 100_000
CHUNK = 5000


async def measure(bench: Bench) -> list[Figure]:
    """Send events, half of them unchanged; ``--scale 10`` sends 1,000,000."""
    url, late_count = bench.new_database(), bench.count(LATE)
    early_count = min(EARLY, late_count // 10)
    async with bench.klaviyo() as klaviyo:
        await bench.connect(url, klaviyo)
        async with bench.serve(url) as service:
            await send(service.url, customers(WEBHOOK))
            await send(service.url, conversations(early_count, WEBHOOK, unchanged=0.5))
            await bench.wait_until_quiet(klaviyo)
            early = memory_megabytes(service.pid)
            for start in range(early_count, late_count, CHUNK):
                await send(service.url, conversations(min(CHUNK, late_count - start), WEBHOOK, unchanged=0.5))
            await bench.wait_until_quiet(klaviyo)
            late = memory_megabytes(service.pid)
    return [at_most(f"memory after {late_count:,} events (against {early_count:,})", late, "MB", early, 1.1)]
