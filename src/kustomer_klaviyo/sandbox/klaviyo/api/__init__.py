"""The simulated API: its operations, limits, queries and revisions, and how resources look in each."""
