"""The web console: server-rendered pages for signed-in admins and viewers."""
