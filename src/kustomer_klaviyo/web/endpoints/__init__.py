"""What answers without a session: the webhook, the card, health and metrics. Each checks its own credentials."""
