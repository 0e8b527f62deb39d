"""The load harness and the exchange simulators. The gateway never imports this."""
