"""Joins Kustomer to Klaviyo: support conversations become marketing events."""
