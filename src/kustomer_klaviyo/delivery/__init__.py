"""From the outbox to Klaviyo: claim what is due, send it, decide what the answer means, record it.

In: due deliveries. Out: their new state, and whether the connection may go on sending. Imports ``planning`` only for
what remains to be planned after a write.
"""
