"""The shell of Tidegate: loop, sockets, wiring, command line. It decides nothing about an order: ext/ does."""
