"""All that is known about Kustomer: its documents, what they mean, and how its API is asked."""
