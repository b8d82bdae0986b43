"""The ``serve`` command: the one place that knows both the commands and what they serve."""

from kustomer_klaviyo.cli.serve import serve_command
from kustomer_klaviyo.web.http_server import serve_web

serve = serve_command(serve_web)
