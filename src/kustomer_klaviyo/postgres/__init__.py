"""The embedded PostgreSQL: its programs, its data directory, its start, supervision and stop. Knows no table."""
