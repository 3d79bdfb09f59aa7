"""`telnet` in front of a real `time`, which is killed, started again, stopped and continued.
`time` lives five hours east of `telnet`, so an answer tells whose clock it is from."""
import signal
import time

import pytest
from client import SLACK, Client, ask, hours_ahead

TIMEOUT = 0.5
OURS, ITS = 0, 5


@pytest.fixture
def pair(start):
    upstream = start("time", zone="EAST-5")
    front = start("telnet", "--upstream", upstream.address, "--timeout", "500ms")
    assert whose(front) == ITS
    return upstream, front


def whose(front):
    """Asks once, in time; OURS or ITS."""
    answer, _, took = ask(front.address)
    assert took < TIMEOUT + SLACK, f"{took} s for a request with {TIMEOUT} s"
    clock = hours_ahead(answer)
    assert clock in (OURS, ITS), f"{answer!r} is nobody's time"
    return clock


def returns(front, within=1):
    well = time.monotonic()
    while whose(front) == OURS:
        assert time.monotonic() - well < within + SLACK / 2, "its upstream is still not asked"
    assert [whose(front) for _ in range(8)].count(ITS) >= 7  # one may meet a busy moment


def test_an_upstream_that_is_killed_is_used_again_once_it_is_back(start, pair):
    # Danger: dead connections are handed out; the back-off has grown while it was down.
    upstream, front = pair
    for away, within in (0.8, 1), (5, 7):  # 7 s: 14 * pool_timeouts::retry_interval
        upstream.kill()
        down = time.monotonic()
        while time.monotonic() - down < away:
            assert whose(front) == OURS
        upstream = start("time", listen=upstream.address, zone="EAST-5")
        returns(front, within)


def test_an_upstream_that_starts_late_is_used_as_soon_as_it_is_there(start):
    # Danger: what cannot be reached at the start is never tried again.
    gone = start("time")
    gone.kill()
    front = start("telnet", "--upstream", gone.address, "--timeout", "500ms")
    assert whose(front) == OURS
    start("time", listen=gone.address, zone="EAST-5")
    returns(front)


def test_an_upstream_that_is_restarted_between_two_requests_costs_at_most_one_of_them(start, pair):
    # Danger: each of the idle connections, now dead, fails one request before it is noticed.
    upstream, front = pair
    assert upstream.terminate() == 0
    start("time", listen=upstream.address, zone="EAST-5")
    assert [whose(front) for _ in range(5)].count(ITS) >= 4


def test_an_upstream_that_is_stopped_and_continued_is_used_again(pair):
    # Danger: the kernel still accepts for it, so nothing looks wrong; the answers that it gives
    # when it goes on belong to requests that have long ended.
    upstream, front = pair
    upstream.signal(signal.SIGSTOP)
    assert [whose(front) for _ in range(4)] == [OURS] * 4
    upstream.signal(signal.SIGCONT)
    returns(front)


def test_a_stopped_upstream_delays_no_other_request(pair):
    # Danger: one waiting logic holds the loop.
    upstream, front = pair
    upstream.signal(signal.SIGSTOP)
    waits, other = Client(front.address), Client(front.address)
    try:
        waits.send(b"gettime\r\n")
        for _ in range(20):
            began = time.monotonic()
            other.send(b"what\r\n")
            assert other.line() == "command wrong"
            assert time.monotonic() - began < TIMEOUT / 2 + SLACK
        assert hours_ahead(waits.line()) == OURS
    finally:
        waits.close()
        other.close()
