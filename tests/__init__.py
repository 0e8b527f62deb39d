"""Tests: one file per module, with real sockets, clients and files."""
