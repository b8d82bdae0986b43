"""Runs the program as ``python -m kustomer_klaviyo``."""

from kustomer_klaviyo.cli import main

main()
