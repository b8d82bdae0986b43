"""One integration and its settings, ready for use.

In: stored connections. Out: parsed options, rules and routes, kept up to date in memory. Imports ``health``,
``mapping``, ``store`` and both vendor packages.
"""
