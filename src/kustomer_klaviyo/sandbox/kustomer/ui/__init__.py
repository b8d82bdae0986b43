"""The agents' desktop in the browser, and the control API."""
