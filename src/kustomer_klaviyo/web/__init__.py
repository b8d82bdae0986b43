"""What the program shows to the network: the webhook, health, and (with a token) metrics. Thin."""
