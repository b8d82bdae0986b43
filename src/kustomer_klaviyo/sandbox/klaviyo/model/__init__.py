"""State of the simulated account: profiles, metrics, events, jobs, marketing. Independent of HTTP."""
