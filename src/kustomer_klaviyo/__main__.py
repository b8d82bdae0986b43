"""Lets the program be run as ``python -m kustomer_klaviyo``."""

from kustomer_klaviyo.program import main

main()
