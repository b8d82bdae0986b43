"""The simulated API: operations, access, rate limits, queries, revisions, resources."""
