"""The whole program: the one place that knows both the commands and what they serve."""

from kustomer_klaviyo.cli import run
from kustomer_klaviyo.web.server import serve_web


def main() -> None:
    """Run the command line."""
    run(serve_web)
