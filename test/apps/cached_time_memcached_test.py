"""`cached_time --memcached` between a real memcached and a real `time`, as cached_time_test.py does
it with Redis: the marker in memcached is of 2001, and `time` lives five hours east."""
import time

import memcached
import pytest
from cached_time_test import MARKER, answer, comes_back
from client import SLACK, ask, hours_ahead

pytestmark = pytest.mark.skipif(not memcached.installed(), reason="memcached is not installed")

KEY = "ice:time"


@pytest.fixture
def cache(tmp_path):
    server = memcached.Memcached(tmp_path)
    yield server
    server.close()


@pytest.fixture
def upstream(start):
    return start("time", zone="EAST-5")


@pytest.fixture
def front(start, cache, upstream):
    return start("cached_time", "--memcached", cache.address, "--upstream", upstream.address)


def mark(cache, text=MARKER):
    assert cache.ask(f"set {KEY} 0 0 {len(text)}", text) == b"STORED\r\n"


def test_a_value_in_memcached_is_answered_without_the_time_server(front, cache, upstream):
    # Danger: a cache that is filled, and never read.
    mark(cache)
    upstream.kill()
    assert [answer(front) for _ in range(5)] == ["the cache's"] * 5
    mark(cache, "rubbish")
    assert answer(front) == "ours"


def test_a_missing_value_is_fetched_and_stored_for_a_second(front, cache):
    # Danger: without an expiry the clock stands still for ever.
    text, _, _ = ask(front.address)
    assert hours_ahead(text) == 5
    left = cache.ask(f"mg {KEY} t")
    assert left in (b"HD t1\r\n", b"HD t0\r\n", b"EN\r\n")  # EN: the second was over
    end = time.monotonic() + 2 + SLACK
    while (later := ask(front.address)[0]) == text:
        assert time.monotonic() < end, "the time stands still"
    assert hours_ahead(later) == 5


def test_with_memcached_killed_the_time_server_answers_until_it_is_back(front, cache):
    # Danger: the service fails with its cache.
    mark(cache)
    assert answer(front) == "the cache's"
    cache.kill()
    assert [answer(front) for _ in range(10)] == ["the time server's"] * 10
    cache.start()
    mark(cache)
    comes_back(front, "the cache's")


def test_with_memcached_stopped_every_answer_still_comes_in_time(front, cache):
    # Danger: each request waits for its timeout, and a late reply goes to another request.
    mark(cache)
    assert answer(front) == "the cache's"
    cache.stop()
    assert [answer(front) for _ in range(4)] == ["the time server's"] * 4
    cache.go_on()
    comes_back(front, "the cache's")


def test_with_both_down_our_own_clock_answers(front, cache, upstream):
    # Danger: each failure alone is handled, and both together are not.
    cache.kill()
    upstream.kill()
    assert [answer(front) for _ in range(5)] == ["ours"] * 5
