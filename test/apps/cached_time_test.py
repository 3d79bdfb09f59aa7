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


def test_what_redis_has_is_answered_and_the_time_server_is_not_asked(front, cache, upstream):
    # Danger: a cache that is filled, and never read.
    mark(cache)
    upstream.kill()
    assert [answer(front) for _ in range(5)] == ["the cache's"] * 5


def test_what_redis_does_not_have_is_fetched_and_kept_for_a_second(front, cache):
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


def test_what_is_no_time_in_redis_is_not_answered(front, cache):
    # Danger: whoever can write into the cache speaks through the front.
    cache.ask("SET", KEY, "rubbish")
    assert answer(front) == "the time server's"
    cache.ask("DEL", KEY)
    cache.ask("LPUSH", KEY, "a list")  # GET of it is an error, SET replaces it
    assert answer(front) == "the time server's"


def test_with_redis_killed_the_time_server_answers_until_it_is_back(front, cache):
    # Danger: the cache, which was to make it faster, takes the service down with it.
    mark(cache)
    assert answer(front) == "the cache's"
    cache.kill()
    assert [answer(front) for _ in range(10)] == ["the time server's"] * 10
    cache.start()
    mark(cache)
    comes_back(front, "the cache's")


def test_with_redis_stopped_every_answer_still_comes_in_time(front, cache):
    # Danger: the kernel accepts for it, so each request waits for its own timeout, and a late
    # reply belongs to nobody.
    mark(cache)
    assert answer(front) == "the cache's"
    cache.stop()
    assert [answer(front) for _ in range(4)] == ["the time server's"] * 4
    cache.go_on()
    comes_back(front, "the cache's")


def test_with_the_time_server_down_redis_answers_and_then_our_own_clock(front, cache, upstream):
    # Danger: nothing is left when the key expires; or our own time is kept as if it were the
    # time server's, and outlives its return.
    mark(cache)
    upstream.kill()
    assert answer(front) == "the cache's"
    cache.ask("DEL", KEY)
    assert [answer(front) for _ in range(5)] == ["ours"] * 5
    assert cache.ask("GET", KEY) == NOTHING


def test_with_the_time_server_stopped_every_answer_still_comes_in_time(front, cache, upstream):
    # Danger: all wait for one that will never say no.
    with upstream.frozen():
        assert [answer(front) for _ in range(3)] == ["ours"] * 3
        mark(cache)
        assert answer(front) == "the cache's"
        cache.ask("DEL", KEY)
    comes_back(front, "the time server's")


def test_with_both_down_our_own_clock_answers(front, cache, upstream):
    # Danger: two failures at once are one that nobody tried.
    cache.kill()
    upstream.kill()
    assert [answer(front) for _ in range(5)] == ["ours"] * 5


def test_both_may_start_late(start, tmp_path):
    # Danger: what cannot be reached at the start is never tried again.
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
