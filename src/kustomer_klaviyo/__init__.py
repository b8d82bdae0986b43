"""Connects Kustomer to Klaviyo: support conversations become marketing events."""

from importlib.metadata import version

__version__ = version("kustomer-klaviyo")
