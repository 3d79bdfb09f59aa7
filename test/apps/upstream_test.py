"""`telnet` in front of a time server that misbehaves: each request ends in time, with the right
answer or with our own clock, and never with the reply to another request."""
import random
import threading
import time

import pytest
from app import SLOWER, until
from client import SLACK, ask, hours_ahead
from upstream import REPLY, STALE

TIMEOUT = 0.4 if SLOWER == 1 else 2.0

ANSWERS = ["answers", "answers_twice_in_one_write", "answers_again_later"]
FAILS = ["is_silent", "answers_too_late", "drips", "ends_in_mid_reply", "ends_without_a_word",
         "resets", "sends_garbage_bytes", "sends_a_line_without_end",
         "sends_a_line_that_is_no_time", "refuses", "accepts_nobody"]


@pytest.fixture
def make_front(start, make_upstream):
    """Makes an upstream and `telnet` in front of it."""
    def make(how, connections=3):
        upstream = make_upstream(how, timeout=TIMEOUT)
        return upstream, start("telnet", "--upstream", upstream.address, "--connections",
                               str(connections), "--timeout", f"{round(TIMEOUT * 1000)}ms")
    return make


def check(upstream, asked):
    """The rule for every request there is; gives whether the upstream answered it."""
    answer, began, took = asked
    assert took < TIMEOUT + SLACK, f"{took} s for a request with {TIMEOUT} s"
    if answer.startswith(REPLY):
        assert upstream.asked[answer] >= began, "the reply to an earlier request"
        return True
    assert not answer.startswith(STALE), "a reply to nobody"
    assert hours_ahead(answer) == 0, f"{answer!r} is neither a reply nor the time"
    return False


def recovers(upstream, front):
    """Makes the upstream well; its replies must come back within a second, and stay."""
    upstream.recover()
    well = time.monotonic()
    while not check(upstream, ask(front.address)):
        assert time.monotonic() - well < 1 + SLACK, "the front still does not ask its upstream"
    asked = [ask(front.address) for _ in range(8)]
    assert [check(upstream, each) for each in asked].count(True) >= 7  # one may meet a busy moment
    replies = [answer for answer, *_ in asked if answer.startswith(REPLY)]
    assert len(set(replies)) == len(replies), "one reply for two requests"


@pytest.mark.parametrize("connections", [1, 3])
@pytest.mark.parametrize("how", FAILS)
def test_a_failing_upstream_is_replaced_by_our_own_clock_until_it_recovers(make_front, how,
                                                                           connections):
    # Danger: the request hangs, ends in nothing, or is answered by what was meant for another; the
    # pool gives up its connections one by one, or returns to the upstream only much later.
    upstream, front = make_front(how, connections)
    for _ in range(2):
        assert not check(upstream, ask(front.address)), "a reply that cannot be used was used"
    recovers(upstream, front)


@pytest.mark.parametrize("how", ANSWERS)
def test_bytes_behind_a_reply_are_never_the_answer_to_a_later_request(make_front, how):
    # Danger: the second reply waits in a buffer, ours or the kernel's, for the next request.
    upstream, front = make_front(how, connections=1)
    answered = 0
    for _ in range(10):
        answered += check(upstream, ask(front.address))
        if how == "answers_again_later" and answered == 1:
            break
    if how == "answers_again_later":
        for _ in range(5):
            upstream.consumed.set()
            assert upstream.sent_again.wait(SLACK), "the upstream was not asked"
            upstream.sent_again.clear()  # it lies in the front's socket now
            answered += check(upstream, ask(front.address))
    assert answered >= 5, "the first reply was good, and is to be used"
    recovers(upstream, front)


def test_a_hanging_upstream_costs_each_caller_no_more_than_the_timeout(make_front):
    # Danger: those who wait for a connection pay for those before them, one timeout each.
    upstream, front = make_front("is_silent")
    asked = []
    crowd = [threading.Thread(target=lambda: asked.append(ask(front.address))) for _ in range(20)]
    for each in crowd:
        each.start()
    for each in crowd:
        each.join()
    assert len(asked) == 20
    assert not any(check(upstream, each) for each in asked)
    recovers(upstream, front)


def test_an_unreachable_upstream_costs_no_more_than_the_timeout(make_front):
    # Danger: connecting has a time of its own, longer than the request's; or nobody tries again.
    upstream, front = make_front("is_not_reached")
    for _ in range(3):
        assert not check(upstream, ask(front.address))
    upstream.recover()
    well = time.monotonic()
    while not check(upstream, ask(front.address)):
        # 3 s for the attempt in flight: the kernel sends its packets again ever more seldom.
        assert time.monotonic() - well < 3.5 + SLACK, "the front still does not ask its upstream"


def test_requests_of_one_client_stay_in_order_whatever_the_upstream_does(make_front, connect):
    # Danger: the answer that needs no upstream overtakes those that wait for it.
    upstream, front = make_front("is_silent")
    client = connect(front)
    client.send(b"gettime\r\nwhat\r\n")
    until(lambda: upstream.asked, "the request reaches the upstream")
    upstream.recover()
    client.send(b"gettime\r\nwhat\r\n")
    answers = [client.line() for _ in range(4)]
    assert hours_ahead(answers[0]) == 0
    assert answers[2].startswith(REPLY)
    assert answers[1::2] == ["command wrong"] * 2


def test_many_clients_and_a_random_upstream_never_mix_up_replies(make_front):
    # Danger: all of the above at once, on connections that are used again and again.
    moods = random.Random(3)
    usual = FAILS[1:-2] + ANSWERS[:2] + ["answers"] * 20
    upstream, front = make_front(lambda: moods.choice(usual))
    asked = []

    def client():
        for _ in range(15):
            asked.append(ask(front.address))

    crowd = [threading.Thread(target=client) for _ in range(8)]
    for each in crowd:
        each.start()
    for each in crowd:
        each.join()
    assert len(asked) == 15 * 8
    answered = [check(upstream, each) for each in asked].count(True)
    replies = [answer for answer, *_ in asked if answer.startswith(REPLY)]
    assert len(set(replies)) == len(replies) == answered, "one reply for two requests"
    assert answered > 30, "hardly any reply was used"
    recovers(upstream, front)
