"""The web server: webhooks, the card, health and metrics, and the console for admins. Thin."""
