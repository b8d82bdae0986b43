"""The simulated API: its operations, who may use them, what requests may hold, and how answers look."""
