"""Asks Kustomer for what no webhook told: unknown customers, conversations worth another reading, removed customers.

In: lookups that are due. Out: events in the inbox, like any other. Also watches whether the webhook is switched on.
"""
