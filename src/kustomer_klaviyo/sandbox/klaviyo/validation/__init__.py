"""What Klaviyo takes in request bodies: events, profiles, contacts. Knows nothing of what is stored."""
