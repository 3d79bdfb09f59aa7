#!/usr/bin/env python3
"""Planted bugs in the code that simulations replace, which the torture test must find.
    mutants.py list                      name;source;source.. of each, for CMake
    mutants.py plant NAME DIR SOURCE..   writes what NAME changes to DIR, as in this tree
    mutants.py run DIR [NAME..]          runs programs of DIR; fails if one of them finds nothing
How a bug is planted, and why it survives a rename: test/planting.py."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from planting import Table, after, before, gone, instead, never  # noqa: E402

SECONDS = 60  # most are found within one; the others within twenty on a busy machine

MUTANTS = {
    # poller.cpp
    "reads_a_dead_channel": (
        "the poller reads the lone channel of its last rounds after its end",
        {"forget_only": gone}),
    "closes_while_watched": (
        "a descriptor is closed while epoll watches it: a forked child keeps it there",
        {"stop_watching": gone}),
    "drops_a_partial_message": (
        "an idle channel releases its buffer with the beginning of a message in it",
        {"keep_unread": never}),
    # socket_channel.cpp
    "loop_leaves_a_writer": (
        "the loop does not wait for a channel that only waits to write",
        {"writer_waits": gone}),
    "always_watches_output": (
        "epoll is asked for EPOLLOUT although nothing is to be sent: the loop spins",
        {"wanted": instead("const std::uint32_t wanted = (reader_ ? in : 0) | out;")}),
    "watches_output_for_ever": (
        "epoll is still asked for EPOLLOUT when all is sent: the loop spins",
        {"watch_again": gone}),
    "sends_twice": (
        "what the kernel took of a write is sent again",
        {"count_part": gone}),
    "drops_the_rest": (
        "what the kernel did not take of a write is dropped",
        {"cut_sent": instead("out_.clear(), done_ = 0;")}),
    "keeps_the_offset": (
        "a write begins at the offset where the write before it ended",
        {"write_is_done": gone}),
    "closes_twice": (
        "a descriptor is closed twice",
        {"close": after("::close(fd_);")}),
    "closes_before_it_deregisters": (
        "a descriptor is closed before the poller has deregistered it",
        {"leave_poller": before("::close(fd_);"), "close": gone}),
    "leaks_its_descriptor": (
        "a channel does not close its descriptor",
        {"close": gone}),
    "resumes_a_reader_twice": (
        "an event resumes a coroutine that an earlier event has resumed",
        {"reader_leaves": gone}),
    "reads_on_at_the_end": (
        "the end of the stream in the middle of a message is taken for more bytes",
        {"end_of_stream": instead("if (n == 0) return in_.size() == 0 ? ended() : io_status();")}),
    "drain_drops_unread_bytes": (
        "a drain ends a session with bytes unread in the kernel",
        {"drain_reads": instead("const std::optional<io_status> read(draining_);")}),
    # socket_transport.cpp
    "closes_what_it_accepts": (
        "an accepted socket is closed by its acceptor and by its channel",
        {"accepted": gone}),
    "closes_what_it_connects": (
        "a connected socket is closed by its connector and by its channel",
        {"connected": gone}),
    # session.cpp
    "batch_ends_for_good": (
        "messages beyond limits::batch wait until the peer sends more",
        {"next_turn": instead("static_cast<void>(more);")}),
    "closed_before_spawned_ends": (
        "closed() of a logic is called while a coroutine runs that the session has spawned",
        {"join_spawned": instead("co_return;")}),
    "sends_a_refused_push": (
        "a push that is refused for want of room in the outbox is sent all the same",
        {"push_taken_back": gone}),
    # answer_queue.cpp, pipeline.cpp
    "answers_swap": (
        "the answer to a later message leaves before that to an earlier one in flight",
        {"queue_at_the_end": instead("w.next = oldest_; oldest_ = &w;")}),
    "replies_to_the_dead": (
        "a forwarded message whose session has ended stays in the pipeline of its pool",
        {"leaves_pipeline": gone}),
    # link_base.cpp
    "keeps_a_dead_session": (
        "a link ends the session of a connection that is gone",
        {"link_forgets": gone}),
    "pushes_too_early": (
        "a link pushes before opened() of its logic has returned",
        {"link_is_established": instead("return session_;")}),
}

TABLE = Table(MUTANTS, {}, ["--seconds", str(SECONDS)])

if __name__ == "__main__":
    sys.exit(TABLE.main())
