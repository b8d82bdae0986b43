"""Plans what is sent: events in the inbox become deliveries in the outbox.

In: events, and what is known about their customers. Out: deliveries, profile writes and lookups, in one transaction. No
network. Imports ``connections``, ``mapping``, the pure modules of both vendors, and ``store``.
"""
