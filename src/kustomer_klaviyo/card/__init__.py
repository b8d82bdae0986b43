"""The insight card: what an agent sees of a customer's marketing.

In: a card that an agent opens or is likely to open. Out: its stored data at once, and a refresh in the background
within Klaviyo's rate limits. Imports ``planning``, ``connections``, ``health``, ``store`` and ``klaviyo``.
"""
