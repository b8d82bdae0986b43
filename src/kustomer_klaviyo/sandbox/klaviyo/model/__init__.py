"""What the simulated account holds: profiles, metrics, events, jobs, marketing. Knows nothing of HTTP."""
