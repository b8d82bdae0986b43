"""An event's way from Kustomer to Klaviyo, and its side lines. The only room that knows both vendors."""
