"""The demo's error, in a module of its own: commands that name it do not load the vendors' simulations."""


class DemoError(Exception):
    """A process of the environment did not start, or a command failed. The message says which."""
