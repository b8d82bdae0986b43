"""The account's pages in the browser, and the control routes that steer it."""
