"""Connecting both accounts, for pages and commands alike: keys checked, one webhook, metric names, the Kustomer app.

In: what an admin enters. Out: a saved connection, and what it needs at both vendors.
"""
