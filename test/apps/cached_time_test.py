"""`cached_time` between a real redis-server and a real `time`, with each of them down in turn.
`time` lives five hours east, and a marker in Redis is of 2001: an answer tells where it is from."""
import time

import pytest
import redis
from client import SLACK, ask, hours_ahead

pytestmark = pytest.mark.skipif(not redis.installed(), reason="redis-server is not installed")

MARKER = "2001-01-01 00:00:00"
KEY = "ice:time"
NOTHING = b"$-1\r\n"
LONGEST = 0.25 + 0.5 + 0.25  # what one request may wait for: GET, the time server, SET


@pytest.fixture
def cache(tmp_path):
    server = redis.Redis(tmp_path)
    yield server
    server.close()


@pytest.fixture
def upstream(start):
    return start("time", zone="EAST-5")


@pytest.fixture
def front(start, cache, upstream):
    return start("cached_time", "--redis", cache.address, "--upstream", upstream.address)


def answer(front):
    """One answer, in time, and whose it is."""
    text, _, took = ask(front.address)
    assert took < LONGEST + SLACK
    whose = {0: "ours", 5: "the time server's"}.get(hours_ahead(text))
    return "the cache's" if text == MARKER else whose or text


def comes_back(front, whose):
    """From a second after the recovery on, it is asked again."""
    end = time.monotonic() + 1 + SLACK
    while (last := answer(front)) != whose:
        assert time.monotonic() < end, f"the answer is still {last}"


def mark(cache):
    assert cache.ask("SET", KEY, MARKER) == b"+OK\r\n"


def test_a_value_in_redis_is_answered_without_the_time_server(front, cache, upstream):
    # Danger: a cache that is filled, and never read.
    mark(cache)
    upstream.kill()
    assert [answer(front) for _ in range(5)] == ["the cache's"] * 5


def test_a_missing_value_is_fetched_and_stored_for_a_second(front, cache):
    # Danger: without an expiry the clock stands still for ever.
    assert cache.ask("GET", KEY) == NOTHING
    text, _, _ = ask(front.address)
    assert hours_ahead(text) == 5
    left = cache.ask("PTTL", KEY)
    assert left.startswith(b":") and -2 <= int(left[1:]) <= 1000 and int(left[1:]) != -1
    end = time.monotonic() + 1 + SLACK
    while (later := ask(front.address)[0]) == text:
        assert time.monotonic() < end, "the time stands still"
    assert hours_ahead(later) == 5


def test_a_value_in_redis_that_is_no_time_is_not_answered(front, cache):
    # Danger: a program that can write into the cache chooses the answers of the server.
    cache.ask("SET", KEY, "rubbish")
    assert answer(front) == "the time server's"
    cache.ask("DEL", KEY)
    cache.ask("LPUSH", KEY, "a list")  # GET of it is an error, SET replaces it
    assert answer(front) == "the time server's"


def test_with_redis_killed_the_time_server_answers_until_it_is_back(front, cache):
    # Danger: the service fails with its cache.
    mark(cache)
    assert answer(front) == "the cache's"
    cache.kill()
    assert [answer(front) for _ in range(10)] == ["the time server's"] * 10
    cache.start()
    mark(cache)
    comes_back(front, "the cache's")


def test_with_redis_stopped_every_answer_still_comes_in_time(front, cache):
    # Danger: the kernel accepts connections for a stopped redis, so each request waits for its
    # timeout, and a late reply goes to another request.
    mark(cache)
    assert answer(front) == "the cache's"
    cache.stop()
    assert [answer(front) for _ in range(4)] == ["the time server's"] * 4
    cache.go_on()
    comes_back(front, "the cache's")


def test_with_the_time_server_down_redis_answers_and_then_our_own_clock(front, cache, upstream):
    # Danger: there is no answer when the key expires; or our own time is stored as that of the
    # time server, and stays after its return.
    mark(cache)
    upstream.kill()
    assert answer(front) == "the cache's"
    cache.ask("DEL", KEY)
    assert [answer(front) for _ in range(5)] == ["ours"] * 5
    assert cache.ask("GET", KEY) == NOTHING


def test_with_the_time_server_stopped_every_answer_still_comes_in_time(front, cache, upstream):
    # Danger: all requests wait for an upstream that never refuses.
    with upstream.frozen():
        assert [answer(front) for _ in range(3)] == ["ours"] * 3
        mark(cache)
        assert answer(front) == "the cache's"
        cache.ask("DEL", KEY)
    comes_back(front, "the time server's")


def test_with_both_down_our_own_clock_answers(front, cache, upstream):
    # Danger: each failure alone is handled, and both together are not.
    cache.kill()
    upstream.kill()
    assert [answer(front) for _ in range(5)] == ["ours"] * 5


def test_both_may_start_late(start, tmp_path):
    # Danger: an upstream that is down at the start is never tried again.
    gone = start("time")
    gone.kill()
    front = start("cached_time", "--redis", f"unix:{tmp_path}/redis", "--upstream", gone.address)
    assert answer(front) == "ours"
    start("time", listen=gone.address, zone="EAST-5")
    comes_back(front, "the time server's")
    cache = redis.Redis(tmp_path)
    try:
        mark(cache)
        comes_back(front, "the cache's")
    finally:
        cache.close()
