#!/usr/bin/env python3
"""Planted bugs in pools, which the tests of pool_core and of requests must find. Most of them are
faults that a pool once had.
    mutants.py list                      name;source;source.. of each, for CMake
    mutants.py plant NAME DIR SOURCE..   writes what NAME changes to DIR, as in this tree
    mutants.py run DIR [NAME..]          runs programs of DIR; fails if one of them finds nothing
How a bug is planted, and why it survives a rename: test/planting.py."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from planting import Table, after, condition, gone, instead  # noqa: E402

HOLDS = {"include/ice/detail/retry_budget.hpp": ["lib/pool/pool_core.cpp"]}

MUTANTS = {
    # Callers.
    "no_waiters_no_connections": (
        "a pool without waiters refuses callers for whom it can make a connection",
        {"room_for_callers": instead("0;")}),
    "stale_callers_in_reverse": (
        "callers that were given dead connections wait again in reverse order",
        {"place_in_queue": instead("pool_caller* before = nullptr;")}),
    "lease_stops_sharers": (
        "a caller that waits for a lease keeps every shared connection from the others",
        {"sharing_yields": after("if (!k->shares) kept = all_.size();")}),
    "full_is_shared": (
        "callers add bytes to a connection whose outbox is full",
        {"has_room": instead("c.at->breaker.is_closed();")}),
    "burst_goes_before_others": (
        "a burst stays on its connection although a caller waits or a connection is idle",
        {"none_before": gone}),
    "burst_fills_the_full": (
        "a burst stays on its connection although that has no room or is ejected",
        {"again_has_room": instead("return found_;")}),
    "all_learn_of_room": (
        "callers that have found no room do not lower the number of those who are told of it",
        {"learn_of_room": gone}),
    "room_meanwhile_is_lost": (
        "room that comes while the callers that were told of some look is told to nobody",
        {"room_meanwhile": gone}),
    "lifetime_of_retries": (
        "the retry budget counts all requests since the pool began",
        {"window_ends": instead("return;")}),
    # Connections.
    "one_for_all": (
        "connections that were lost together are replaced by one",
        {"attempts_wanted": instead("const std::size_t wanted = waiting_ + least != 0 ? 1 : 0;")}),
    "trial_takes_room": (
        "a trial connection takes the room of a connection to a healthy address",
        {"trial_is_extra": instead("const bool is_trial = false;")}),
    "trials_without_bound": (
        "trials that were given up do not count: a silent address gets more connections for ever",
        {"trials_in_vain": gone}),
    "silent_blocks_others": (
        "an attempt that gets no answer keeps callers from the other addresses",
        {"stalls": gone}),
    "two_addresses_for_ever": (
        "a pool of two connections uses two of five addresses for ever",
        {"turn_of_address": instead("has_room;")}),
    "restarted_is_forgotten": (
        "an address that has lost its connections gets none although there is room",
        {"room_for_address": instead("const bool has_room = false;")}),
    "min_connections_expire": (
        "connections that min_connections keeps expire, and others are made for them",
        {"min_connections": gone}),
    "closed_before_replaced": (
        "an old connection closes before another one has replaced it",
        {"expires": condition(lambda text: f"{text} && !needs_replacement(*idle_[i], now)")}),
    "replaces_without_pause": (
        "old connections are replaced without a pause",
        {"replace_pause": gone}),
    "replaces_all_at_once": (
        "a replaced connection that is still leased does not count: there is no bound for them",
        {"replaced_at_once": gone, "may_retire": instead("return true;")}),
    "end_of_idle_unseen": (
        "an idle connection that its upstream has closed is found only by the next caller",
        {"look": gone}),
    "attempts_outlive_stop": (
        "stop() does not end what happens on connections",
        {"cancel_all": gone}),
    # Verdicts.
    "impatience_counts": (
        "short timeouts of one caller open the breaker of an upstream that answers",
        {"is_silent": gone}),
    # Requests and leases.
    "own_error_counts": (
        "what a logic of replies refuses for one caller counts as a failure of the upstream",
        {"own_error": gone}),
    "too_large_counts": (
        "a reply that is too large, which a caller may ask for, opens the breaker for others",
        {"too_large": gone}),
    "sent_is_not_executed": (
        "a request that was sent ends with an error that says it was not executed",
        {"sent_is_executed": gone}),
    "refusal_holds_the_loop": (
        "a caller that asks again at once when it is refused freezes the loop",
        {"refusal_yields": gone}),
    "retry_holds_the_loop": (
        "a request that is sent again on a connection that is being closed freezes the loop",
        {"retry_yields": gone}),
    "cancelled_caller_goes_on": (
        "a caller that is cancelled after it was given a connection uses it",
        {"woken_and_cancelled": condition(lambda text: "cancelled")}),
    "uncounted": (
        "a request that ends by an exception is in no counter but `requests`",
        {"counted_at_its_end": instead("return;")}),
    "sends_before_it_receives": (
        "a pool sends a whole request before it reads: an echo of 32 MiB never ends",
        {"is_duplex": gone}),
    "outbox_without_bound": (
        "callers add requests to a connection whose outbox is full",
        {"outbox_bound": instead("return most == 0;")}),
    "lease_leaks_its_session": (
        "the session state of a lease, such as an open MULTI, reaches the next caller",
        {"lease_leaks": instead("return;")}),
    # Names.
    "one_address_of_a_name": (
        "only the first address of a name is used",
        {"each_address": instead("for (const address& a : {found.front()}) {")}),
    "empty_answer_counts": (
        "a lookup without addresses removes those that are known",
        {"no_address": gone}),
    "removed_address_stays": (
        "an address that its name has lost stays in use",
        {"is_removed": instead("u->is_removed = false;")}),
}

# One case takes 10 s, and none of these bugs concerns it.
TABLE = Table(MUTANTS, HOLDS, ["--color_output=no", "--run_test=!pipeline/whichever_of_*"],
              r'error: in "[^"]*?(\w+)": (.*)')

if __name__ == "__main__":
    sys.exit(TABLE.main())
