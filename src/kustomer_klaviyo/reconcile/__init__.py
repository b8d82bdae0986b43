"""Reads from Kustomer what no webhook reported: unknown customers, incomplete conversations, removed customers.

In: lookups that are due. Out: events in the inbox, like any other. Also checks whether the webhook is switched on.
Imports ``planning``, ``connections``, ``health``, ``store`` and ``kustomer``; never ``klaviyo``.
"""
