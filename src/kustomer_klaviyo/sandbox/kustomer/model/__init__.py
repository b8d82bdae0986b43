"""What the simulated organisation holds, and how every change becomes an event and a webhook."""
