"""Events delivered per second of CPU, all processes and the database included, against Celery on Redis with fsync."""

from figures import Figure, at_least
from load import send
from processes import Bench, Running
from traffic import conversations, customers

WEBHOOK = "/webhooks/kustomer/bench"
EVENTS, EVENTS_CELERY = 10_000, 2_000


async def measure(bench: Bench) -> list[Figure]:
    """Deliver events with both designs."""
    url = bench.new_database()
    async with bench.klaviyo() as klaviyo:
        await bench.connect(url, klaviyo)
        async with bench.serve(url) as service:
            ours = await events_per_cpu_second(bench, bench.count(EVENTS), klaviyo, service)
    variables = {"BENCH_REDIS": str(bench.data / "redis.sock")}
    async with bench.klaviyo() as klaviyo:
        variables["BENCH_KLAVIYO"] = klaviyo.url
        async with bench.yardstick("celery_process.py", url, **variables) as celery:
            theirs = await events_per_cpu_second(bench, bench.count(EVENTS_CELERY), klaviyo, celery)
    return [at_least("events delivered per second of CPU", ours, "/s", theirs, 6.0)]


async def events_per_cpu_second(bench: Bench, count: int, klaviyo: Running, service: Running) -> float:
    """Return the events that one second of all processes' CPU takes from the webhook to Klaviyo's response."""
    await send(service.url, customers(WEBHOOK))
    await bench.wait_until_quiet(klaviyo)
    before = bench.cpu(service)
    await send(service.url, conversations(count, WEBHOOK))
    await bench.wait_for_events(klaviyo, count)
    return count / (bench.cpu(service) - before)
