"""The two vendors, simulated as real HTTP servers.

In: API requests, and control requests below ``/sandbox``. Out: responses and webhooks in the vendors' formats. Imports
nothing of the product, so that an error in the product is not repeated here.
"""
