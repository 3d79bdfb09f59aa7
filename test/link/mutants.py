#!/usr/bin/env python3
"""Planted bugs in links, and in subscriptions of Redis, which link_test and redis_subscriber_test
must find.
    mutants.py list                      name;source;source.. of each, for CMake
    mutants.py plant NAME DIR SOURCE..   writes what NAME changes to DIR, as in this tree
    mutants.py run DIR [NAME..]          runs programs of DIR; fails if one of them finds nothing
How a bug is planted, and why it survives a rename: test/planting.py."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from planting import Table, always, condition, gone, instead, never  # noqa: E402

HOLDS = {}

MUTANTS = {
    "gives_up": (
        "a link whose connection was lost makes no other",
        {"link_replaces": gone}),
    "pauses_never_grow": (
        "a broker that is down is tried fifty times a second",
        {"link_pauses": instead("pause = std::chrono::milliseconds(20);")}),
    "pauses_never_shrink": (
        "a connection that has worked for long does not end the growth of the pauses",
        {"link_proven": never}),
    "accepted_is_proven": (
        "a peer that closes at once is tried at the shortest pause for ever",
        {"link_proven": always}),
    "all_begin_at_the_first": (
        "many programs with the same addresses all begin at the first",
        {"link_spreads": gone}),
    "stays_at_an_address": (
        "a link whose broker is down does not try the next address",
        {"link_next_address": gone}),
    "waits_between_addresses": (
        "a link pauses before it tries its other addresses",
        {"link_tries_all": always}),
    "logs_each_attempt": (
        "an outage of an hour fills the log",
        {"link_logs_once": always}),
    "silence_is_health": (
        "a peer that is silent is never left",
        {"link_is_silent": gone}),
    "busy_is_silence": (
        "a link whose logic is busy leaves a healthy peer",
        {"link_hears": condition(lambda text: text.rsplit(" || ", 1)[0])}),
    "beats_in_traffic": (
        "heartbeats are sent though messages arrive",
        {"link_hears": never}),
    "holds_a_drain": (
        "a peer that does not read, or a logic that does not end, holds a drain",
        {"link_is_late": gone}),
    "early_push": (
        "push() sends before opened() has returned",
        {"link_is_established": instead("    return session_;")}),
    "queue_without_bound": (
        "messages queue without a bound while there is no connection",
        {"link_queue_bound": instead("return !ending_;")}),
    "reads_only_between_writes": (
        "a link and its peer wait until the other one reads",
        {"link_is_duplex": gone}),
    "handshake_is_a_connection": (
        "an attempt that fails in its handshake counts as a lost connection",
        {"link_attempt": gone}),
    "redis_tells_too_early": (
        "a gap is told before all subscriptions are effective again",
        {"redis_gap": always}),
    "redis_cache_is_stale": (
        "a cache goes on serving while no invalidation can come",
        {"redis_drop": never}),
    "redis_counts_no_heartbeat": (
        "the reply to a heartbeat is taken for that to a subscription",
        {"redis_pings": gone}),
    "redis_begins_too_early": (
        "a subscription gets messages of the one before it",
        {"redis_begin": condition(lambda text: text.split(" || ", 1)[0])}),
}

TABLE = Table(MUTANTS, HOLDS, ["--color_output=no"], r'error: in "[^"]*?(\w+)": (.*)')

if __name__ == "__main__":
    sys.exit(TABLE.main())
