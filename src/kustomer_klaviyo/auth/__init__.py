"""Authentication of users: passwords, invitations, OpenID Connect, sessions, and throttling of failed sign-ins.

In: credentials. Out: a session with a role, or a SignInError. Imports ``store``; knows no vendor.
"""
