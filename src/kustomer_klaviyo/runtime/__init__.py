"""Who works when: the scheduler, one worker per connection, the vendors' clients, retention, a connection's health.

In: connections with work. Out: passes of ``planning``, ``delivery``, ``reconcile`` and ``card``. Imports all of them.
"""
