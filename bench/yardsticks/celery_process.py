"""The design of Litestar with Celery on Redis: a webhook endpoint, Redis that flushes every write, and a worker.

Argument: the port. BENCH_REDIS is the path of Redis's socket, BENCH_KLAVIYO the URL of the simulated Klaviyo. All its
processes are children of this one.
"""

import hmac
import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis
import uvicorn
from litestar import Litestar, Request, get, post
from litestar.exceptions import NotAuthorizedException

from celery_tasks import RULES, deliver_later, emails
from kustomer_klaviyo.kustomer.interpret import interpret
from kustomer_klaviyo.kustomer.wire import decode_webhook
from kustomer_klaviyo.planning.identity import identify
from traffic import TOKEN

WORKERS = 2


@get("/ready", sync_to_thread=False)
def ready() -> str:
    """Respond."""
    return "ready"


@post("/webhooks/kustomer/bench", status_code=200)
async def receive(request: Request[Any, Any, Any]) -> str:
    """Receive a webhook: remember a customer's address, queue a job for anything else."""
    body = await request.body()
    signature = request.headers["x-kustomer-webhook-signature"]
    if not hmac.compare_digest(hmac.digest(TOKEN.encode(), body, "sha256").hex(), signature):
        raise NotAuthorizedException
    observation = interpret(decode_webhook(body), received_at=datetime.now(UTC))
    if observation.customer is not None:
        customer = identify(observation.customer, RULES)
        emails().set(customer.customer_id, customer.email or "")
    else:
        deliver_later.delay(body.decode())
    return "received"


def _start_redis(directory: str, socket: str) -> "subprocess.Popen[bytes]":
    settings = {"port": "0", "unixsocket": socket, "dir": directory, "appendonly": "yes", "appendfsync": "always"}
    command = [str(Path(sys.executable).with_name("redis-server")), "--save", ""]
    for name, value in settings.items():
        command += [f"--{name}", value]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not Path(socket).exists():
        time.sleep(0.05)
    redis.Redis(unix_socket_path=socket).ping()
    return process


def _main(port: int) -> None:
    worker = [sys.executable, "-m", "celery", "-A", "celery_tasks", "worker", "--concurrency", str(WORKERS)]
    options = ["--loglevel", "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    with tempfile.TemporaryDirectory(prefix="kk-redis-") as directory:
        server = _start_redis(directory, os.environ["BENCH_REDIS"])
        jobs = subprocess.Popen([*worker, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            app = Litestar([ready, receive], openapi_config=None)
            uvicorn.run(
                app,
                port=port,
                log_config=None,
                log_level="error",
                access_log=False,
                loop="uvloop",
                http="httptools",
                ws="none",
            )
        finally:
            for process in (jobs, server):
                process.terminate()
                process.wait()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    _main(int(sys.argv[1]))
