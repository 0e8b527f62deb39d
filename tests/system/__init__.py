"""The running system: real exchanges, real gateways, real clients."""
