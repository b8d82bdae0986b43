"""Validation of request bodies: events, profiles, contacts. Independent of stored data."""
