"""For every test: as many open files as the machine allows, since some tests hold hundreds of connections."""

import resource


def pytest_configure() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
