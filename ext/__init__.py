"""The core: all state and all decisions, compiled.

It opens nothing, reads no clock, draws nothing at random and logs nothing.
"""
