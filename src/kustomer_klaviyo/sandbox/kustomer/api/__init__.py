"""The simulated API: operations, keys, rate limits, request bodies, responses."""
