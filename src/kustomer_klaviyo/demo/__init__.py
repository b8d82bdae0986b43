"""The demo: the service, started with both vendors simulated, and a comparison of what happened with what arrived.

In: the size of the simulation. Out: running processes, and a comparison. Imports ``service``, ``settings``, ``store``
and ``sandbox``.
"""
