"""The two vendors, simulated as real HTTP servers. They know nothing of the product."""
