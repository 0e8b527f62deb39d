"""Clients, a shard and its standby, the lease store, exchanges, disks, network and clock in one process, from one seed.

`World(seed).run(steps)` lives one life and raises `Violation` where a promise is broken; `python -m
tests.simulation` lives many. An event, or step, is one thing that happens in a world: a message that is delivered, a
timer that fires, a fault. Nothing else is counted: a message that finds nobody any more, or waits for a stopped
actor, is no step.
"""
