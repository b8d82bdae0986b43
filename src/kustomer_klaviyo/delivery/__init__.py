"""Delivery, from the outbox to Klaviyo: claim what is due, send it, decide on the response, record the decision.

In: due deliveries. Out: their new state, and whether the connection may continue to send. Imports ``planning`` (only
for what remains to be planned after a write), ``connections``, ``health``, ``store`` and ``klaviyo``; never
``kustomer``.
"""
