#!/usr/bin/env python3
"""Planted bugs: what the swarm must find, or its silence would prove nothing.
    mutants.py list                      name;source;source.. of each, for CMake
    mutants.py plant NAME DIR SOURCE..   writes what NAME changes to DIR, as in this tree
    mutants.py run DIR [NAME..]          runs programs of DIR; fails if one of them finds nothing
How a bug is planted, and why it survives a rename: test/planting.py."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from planting import (Table, after, always, before, condition, either, gone,  # noqa: E402
                      include, instead, never)

SEEDS = 1000
CALLERS, SERVERS = "test/sim/pool.cpp", "test/sim/server.cpp"
LEASING = "lib/pool/pool_base.cpp"
DECIDING, CONNECTING = "lib/pool/pool_core.cpp", "lib/pool/pool_core_connect.cpp"
CHOOSING = "lib/pool/upstream.cpp"

# The channel of an idle connection, and that of one that a caller was given.
BYTES = "static_cast<session_connection*>(c)->session->bytes()"
LEASED = "static_cast<session_connection&>(mine.connection()).session->bytes()"

# What else is compiled again for a changed header.
HOLDS = {"include/ice/detail/answer_queue.hpp": [SERVERS],
         "include/ice/detail/breaker.hpp": [DECIDING, CONNECTING, CHOOSING],
         "include/ice/detail/exchange_state.hpp": [LEASING],
         "include/ice/detail/session_base.hpp": [SERVERS],
         "include/ice/detail/pipelined_pool.hpp": [CALLERS, SERVERS],
         "include/ice/lease.hpp": [CALLERS], "include/ice/pool.hpp": [CALLERS],
         "include/ice/session.hpp": [CALLERS]}

# What is wrong, and what becomes of which lines: a guard is often backed by another, and then both
# have to go before anything wrong can be seen.
MUTANTS = {
    "return_on_timeout": (
        "a request that timed out returns its connection: the timeout does not cancel the "
        "channel, and replies are not counted",
        {"receive_reply": [include("asio/experimental/awaitable_operators.hpp"), instead("""
            peer.set_deadline(never, errc{});
            using namespace asio::experimental::awaitable_operators;
            auto first = co_await (peer.receive() || peer.sleep(mine.until - now()));
            if (first.index() == 1) {
                leased.mark_reusable();
                co_return mine.failed(errc::request_timeout, leased);
            }
            auto& reply = std::get<0>(first);""")],
         "all_replied": always}),
    "return_on_exception": (
        "a lease whose user throws returns its connection, as if all requests had been answered",
        {"lease_end": instead("""
        lease_.mark_reusable();
        if (std::uncaught_exceptions() != exceptions_) lease_.session().begin_lease();""")}),
    "residual_bytes_kept": (
        "bytes behind a reply are kept: neither the return nor the next use looks at them",
        {"nothing_left": always, "skip_input": gone,
         "idle_in": [include("ice/detail/pool_base.hpp"), either(f"!{BYTES}.data().empty()")],
         "served_input": either(f"!{LEASED}.data().empty()")}),
    "double_return": (
        "a connection that is returned goes to the first waiter and to the idle ones",
        {"give": after("idle_.push_back(&c);")}),
    "return_while_writing": (
        "a connection with unsent bytes is returned, whatever became of its request",
        {"may_return": before("if (!e.failed && e.unsent != 0 && e.residual == 0) return true;")}),
    "generation_not_checked": (
        "the deadline of a request stays set for the next request on its connection",
        {"request_time_ends": gone, "request_timer_ends": gone}),
    "counted_before_written": (
        "a message counts when its write has finished, so a caller that leaves during the write "
        "seems to have asked nothing; unsent bytes are not looked at",
        {"count_asked": gone, "asked_is_sent": after("if (!ec) ++asked_;"), "all_sent": always}),
    "closed_left_idle": (
        "an idle connection that its upstream has closed is used",
        {"idle_in": [include("ice/detail/pool_base.hpp"),
                     condition(lambda text: f"!{BYTES}.cancelled()")]}),
    "retried_when_sent": (
        "a request whose sending failed is sent again although some of its bytes are sent",
        {"sent_before": instead("mine.sent = reply.has_value();")}),
    "two_trials": (
        "a half-open upstream gets a second trial while the first is in flight",
        {"one_trial": instead("return due_;")}),
    "tripped_still_used": (
        "idle connections of an upstream whose breaker is open are used",
        {"ejected_idle": gone}),
    "accepts_too_many": (
        "a batch of accepts exceeds limits::connections",
        {"connections_allowed": never}),
    "reads_while_unsent": (
        "a server reads on while its peer does not read: no back-pressure",
        {"back_pressure": instead("try_flush(); return fill_flushed();")}),
    "slow_sender_gains_time": (
        "timeouts::message begins again with each byte",
        {"first_byte": always}),
    "drain_forgets_backlog": (
        "a drain does not accept connections that wait in the backlog",
        {"backlog": instead("std::uint64_t before = counters_.accepted;")}),
    "drain_takes_pools_first": (
        "a server drains its pools while logics of its connections still need them",
        {"listeners_drain": after("for (const auto& [name, p] : pools_) p->drain();")}),
    "drain_forgets_waiters": (
        "a pool that begins to drain refuses callers that wait already",
        {"drain_keeps_waiters": instead("fail_waiters(errc::draining);")}),
    "drain_waits_for_nothing": (
        "a draining server is not told that the last request of a pool has ended",
        {"pool_emptied": gone}),
    "drained_pool_goes_on": (
        "a draining pool takes requests whose connection is made for them",
        {"drain_refuses": gone}),
    "answers_overtake": (
        "the answer to a later message leaves before that to an earlier one in flight",
        {"queue_at_the_end": instead("w.next = oldest_; oldest_ = &w;")}),
    "answer_is_lost": (
        "one of several messages in flight gets no answer",
        {"send_answer": instead("if (size_ != 3) send(w);")}),
    "answered_twice": (
        "a message in flight is answered twice",
        {"answer_once": after("send_answer(peer(), logic_, *w.answer);")}),
    "message_not_copied": (
        "a message in flight views the buffer, whose bytes move",
        {"view_the_copy": instead("w.request.emplace(request);")}),
    "reply_before_is_answered": (
        "a forwarded message that fails is answered with the reply to an earlier one",
        {"forgets_reply": gone}),
    "sent_at_once_before": (
        "a forwarded message whose reply must wait is taken for one that was answered at once",
        {"is_sent_before": gone}),
    "answers_out_of_turn": (
        "a reply is packed at once although an older request has no answer",
        {"is_next": instead("return !has_ended_ && !is_over();")}),
    "repeats_what_was_sent": (
        "a request whose connection ended is repeated although the upstream may have executed it",
        {"was_sent": never}),
    "joins_without_proof": (
        "a caller that asks again joins the pipeline whose last reply it had, though more bytes "
        "may have come with that",
        {"pipeline_ends_first": gone,
         "resume_caller": after("if (line->size() == 0) line.reset();")}),
    "forgets_its_connection": (
        "a link that learns addresses takes another one for that of its connection",
        {"learn_where": gone}),
    "learns_nothing": (
        "a link does not try the addresses that it has learnt",
        {"learn_all": gone}),
    "reconnects_for_ever": (
        "each connection that is lost after reconnect() counts as one that was to end",
        {"reconnect_once": instead("const bool is_asked = reconnects_;")}),
    "pauses_to_reconnect": (
        "a link that is to leave its upstream pauses before it connects to the next address",
        {"link_replaces": instead("try_again(false);")}),
    "closes_before_read": (
        "a graceful close does not wait until the peer has read",
        {"graceful_close": never}),
}

TABLE = Table(MUTANTS, HOLDS, ["--seeds", str(SEEDS), "--twice", "0"])

if __name__ == "__main__":
    sys.exit(TABLE.main())
