"""Who may see the pages: passwords, one-time links, OpenID Connect, sessions, and throttling of guesses.

In: what somebody enters. Out: a session with a role, or a refusal. Knows no vendor.
"""
