"""The ``serve`` command: the one module that imports both the command line and the web server."""

from kustomer_klaviyo.cli.serve import serve_command
from kustomer_klaviyo.web.uvicorn_server import serve_web

serve = serve_command(serve_web)
