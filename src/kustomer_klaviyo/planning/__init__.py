"""From the inbox to the outbox: what is to be sent, about whom, and why something is not.

In: events, and what is known of their customers. Out: deliveries, profile writes, lookups; all in one transaction.
No network. Imports ``connections``, ``mapping``, both vendors' pure modules, and ``store``.
"""
