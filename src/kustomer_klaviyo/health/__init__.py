"""Whether the program's loops work, and unexpected errors of single items.

In: an exception. Out: a stored, visible failure, and a backoff. Imports ``store`` and the ground modules.
"""
