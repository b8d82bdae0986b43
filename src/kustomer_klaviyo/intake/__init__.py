"""From a webhook to the inbox.

In: a signed body. Out: an answer to Kustomer, and a row in the inbox when the event tells anything new. Imports what
lies below; never ``planning``'s neighbours.
"""
