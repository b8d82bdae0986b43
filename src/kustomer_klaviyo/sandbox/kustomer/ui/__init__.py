"""The agents' desktop in the browser, and the control routes that steer the simulation."""
