"""From a webhook to the inbox.

In: a signed body. Out: a response to Kustomer, and a row in the inbox unless the event is a duplicate. Imports
``planning``, ``connections``, ``health``, ``store`` and ``kustomer``; never ``klaviyo``.
"""
