"""The insight card: what an agent sees of a customer's marketing.

In: an open card, or one likely to be opened. Out: a document that is shown at once and refreshed behind the answer,
within Klaviyo's limits. Imports ``planning`` and what lies below.
"""
