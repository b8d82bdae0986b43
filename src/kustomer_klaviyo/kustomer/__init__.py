"""Everything about Kustomer: its documents, their meaning, and its API client.

In: webhook bodies and API responses. Out: facts and observations. Imports only the modules at the top level of the
program; never ``klaviyo`` or ``store``. Only the client does I/O.
"""
