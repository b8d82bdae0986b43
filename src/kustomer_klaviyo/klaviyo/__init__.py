"""Everything about Klaviyo: its requests, its API clients, and the meaning of its responses.

In: facts and profile fields. Out: requests, and the outcome of each response. Imports only the modules at the top level
of the program; never ``kustomer`` or ``store``. Only the clients do I/O.
"""
