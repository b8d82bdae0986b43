"""A customer's attributes in Kustomer become values for Klaviyo. Pure.

In: a mapping and attributes. Out: profile fields, with a note for each value that is left out.
"""
