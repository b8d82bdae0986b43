"""Endpoints without a session: webhooks, the card, health and metrics. Each checks its own credentials."""
