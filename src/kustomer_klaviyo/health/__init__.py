"""Whether the loops of the program work, and what went wrong with one item.

In: an exception. Out: a stored, visible failure, and a growing wait. Imports ``store`` and the ground modules.
"""
