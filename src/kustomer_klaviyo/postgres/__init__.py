"""The embedded PostgreSQL: its programs, its data directory, and its start, supervision and stop.

In: a data directory. Out: the connection string of a running server. Imports no other package; knows no table.
"""
