"""Set-up of connections, for the pages and the commands alike: API keys, webhook, metric names, Kustomer app.

In: what an admin enters. Out: a saved connection, and the objects it needs at both vendors.
"""
