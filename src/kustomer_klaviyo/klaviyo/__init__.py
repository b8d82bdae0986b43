"""All that is known about Klaviyo: what facts become there, how its API is asked, and what its answers mean."""
