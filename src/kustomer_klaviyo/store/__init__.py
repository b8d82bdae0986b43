"""The tables of the service in PostgreSQL, and all SQL on them.

In: rows, as dataclasses. Out: rows. Imports ``facts``, ``reasons`` and ``cleaning``; knows no vendor.
"""
