"""When work happens: the scheduler, one worker per connection, the vendor clients, retention, connection health.

In: connections with work. Out: passes of ``planning``, ``delivery``, ``reconcile`` and ``card``. Imports all of them,
and the packages below.
"""
