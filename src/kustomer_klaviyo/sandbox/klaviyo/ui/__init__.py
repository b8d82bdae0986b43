"""The account's pages in the browser, and the control API."""
