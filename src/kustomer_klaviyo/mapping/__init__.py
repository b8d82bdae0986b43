"""Maps a Kustomer customer's attributes to values for Klaviyo. Pure.

In: a mapping and attributes. Out: profile fields, with a note for each value that is left out. Imports the pure modules
of both vendor packages.
"""
