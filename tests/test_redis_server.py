"""The tests' redis-server: what it keeps over a kill, and what it forgets."""

import pytest
import redis

from tests.redis_server import RedisServer


def test_it_keeps_what_it_was_told_over_a_kill(tmp_path):
    with RedisServer(tmp_path / "redis") as server:
        port = server.port
        server.client().set("a", "1")
        server.kill()
        server.start()
        assert (server.port, server.client().get("a")) == (port, b"1")


def test_it_forgets_when_it_is_to(tmp_path):
    with RedisServer(tmp_path / "redis") as server:
        server.client().set("a", "1")
        old = server.copied()
        server.client().set("a", "2")
        server.kill()
        server.put_back(old)
        server.start()
        assert server.client().get("a") == b"1"
        server.kill()
        server.wipe()
        server.start()
        assert server.client().get("a") is None
    with RedisServer(tmp_path / "other", appendonly=False) as server:
        server.client().set("a", "1")
        server.stop()
        server.start()
        assert server.client().get("a") is None


def test_it_hangs_and_goes_on(tmp_path):
    with RedisServer(tmp_path / "redis") as server:
        server.pause()
        with pytest.raises(redis.TimeoutError):
            server.client(socket_timeout=0.2).ping()
        server.resume()
        assert server.client().ping()
