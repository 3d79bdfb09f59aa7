#!/usr/bin/env python3
"""Planted bugs: what the swarm must find, or its silence would prove nothing.
    mutants.py list                     name;source;source.. of each, for CMake
    mutants.py plant NAME DIR           writes what NAME changes to DIR, as in this tree
    mutants.py run DIR [--seeds 1000]   runs the programs in DIR; fails if one of them finds nothing
A mutant is the product's own code with a few words changed. If a text is no longer there, or more
than once, planting fails: then the guard has moved, and the mutant has to follow it."""
import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
POOL, BASE = "include/ice/pool.hpp", "include/ice/pool_base.hpp"
LEASE, STATE = "include/ice/lease.hpp", "include/ice/exchange_state.hpp"
SESSION, SESSION_BASE = "include/ice/session.hpp", "include/ice/session_base.hpp"
LENDING, ACCEPTING = "lib/actions/pool.cpp", "lib/actions/listener.cpp"
SHARING, CONNECTING = "lib/actions/pipeline.cpp", "lib/actions/connecting.cpp"
BREAKER, CHOOSING = "include/ice/breaker.hpp", "lib/actions/upstream.cpp"
TURNS, ENDING = "lib/conversation/session.cpp", "lib/server/server.cpp"
EYEBALLS = "lib/transport/happy_eyeballs.cpp"
CALLERS, SERVERS = "test/sim/pool.cpp", "test/sim/server.cpp"

# Who else holds the code of a header: what is compiled beside the .cpp files that are changed.
HOLDS = {BREAKER: [CONNECTING, CHOOSING], POOL: [CALLERS], LEASE: [CALLERS],
         BASE: [LENDING, SHARING, CALLERS], STATE: [LENDING], SESSION: [CALLERS],
         SESSION_BASE: [SERVERS]}

# Name; what is wrong with it, and which guards are gone (one guard alone is often backed by
# another, and then nothing wrong can be seen); file, text, and what stands there instead.
MUTANTS = [
    ("return_on_timeout",
     "a request that has timed out gives its connection back: the timeout does not cancel the "
     "channel, and the replies are not counted",
     (POOL, """auto reply = co_await peer.receive();
            if (!reply) co_return mine.failed(reply.error(), lent);""",
      """peer.within(never, errc{});
            using namespace asio::experimental::awaitable_operators;
            auto first = co_await (peer.receive() || peer.sleep(mine.until - now()));
            if (first.index() == 1) {
                lent.settle();
                co_return mine.failed(errc::request_timeout, lent);
            }
            auto& reply = std::get<0>(first);
            if (!reply) co_return mine.failed(reply.error(), lent);"""),
     (POOL, "#include <utility>",
      "#include <utility>\n#include <asio/experimental/awaitable_operators.hpp>"),
     (STATE, " && e.asked == e.replied", "")),
    ("return_on_exception",
     "a borrower that throws gives its connection back, as if what it asked had been answered",
     (LEASE, "if (std::uncaught_exceptions() == exceptions_) loan_.settle();",
      "loan_.settle(std::uncaught_exceptions() != exceptions_);"),
     (BASE, "void settle() noexcept { settled_ = true; }",
      """void settle(bool thrown = false) noexcept {
            settled_ = true;
            if (session_base* s = connection_.session.get(); thrown && s) s->received_ = s->asked_;
        }""")),
    ("residual_bytes_kept",
     "bytes behind the reply are kept: neither the return nor the lending looks at them",
     (STATE, " && e.residual == 0", ""),
     (LENDING, "if (c.session->bytes().quiet())",
      "if (!c.session->bytes().data().empty() || c.session->bytes().quiet())"),
     (LENDING, "if (s.bytes().quiet())", "if (!s.bytes().data().empty() || s.bytes().quiet())")),
    ("double_return",
     "a connection that comes back goes to the first waiter, and to the idle ones: two own it",
     (LENDING, "first.given.emplace(",
      """pool_connection twin(*c.at, 0);
    twin.session.reset(c.session.get());
    twin.since = c.since;
    twin.retires = c.retires;
    idle_.push_back(std::move(twin));
    first.given.emplace(""")),
    ("return_while_writing",
     "a connection with bytes still to send goes back, whatever its request has come to",
     (STATE, "return e.settled && !e.failed && e.asked == e.replied && e.unsent == 0 &&",
      "return !e.failed && (e.unsent != 0 || (e.settled && e.asked == e.replied)) &&")),
    ("generation_not_checked",
     "a timer of the request before strikes the next: there is no generation number, but each "
     "return switches the old deadline off",
     (LENDING,
      "c.session->within(never, errc{});\n    c.session->bytes().deadline(never, errc{});", "")),
    ("counted_before_written",
     "a message counts when its write is done, so who leaves in the middle of it seems to have "
     "asked nothing; bytes still to send are not looked at",
     (SESSION, "if (!ec) ++asked_;", ""),
     (SESSION, "const error_code ec = co_await sent();",
      "const error_code ec = co_await sent();\n        if (!ec) ++asked_;"),
     (STATE, " && e.unsent == 0", "")),
    ("closed_left_idle",
     "a connection that its upstream has closed stays among the idle ones, and is lent",
     (LENDING, "if (c.session->bytes().quiet())", "if (!c.session->bytes().cancelled())")),
    ("retried_when_sent",
     "a request whose sending has failed is sent again, though some bytes of it are gone",
     (POOL, "mine.sent = peer.bytes().sent() != before;", "")),
    ("looks_twice_at_the_clock",
     "who takes a place on a shared connection looks for it twice: between the two readings of the "
     "clock it may come of age, and then there is none",
     (POOL, "*taken->shared", "*shared_line()"),
     (BASE, "    pipeline* shared_line() const noexcept;\n",
      "protected:\n    pipeline* shared_line() const noexcept;\n\nprivate:\n")),
    ("waits_for_the_silent",
     "an address that answers no SYN keeps the others of its name from being tried",
     (EYEBALLS, "due_ = after(now, attempt_delay);", "due_ = never;")),
    ("two_probes",
     "an upstream that is half open gets a second probe while the first is under way",
     (BREAKER, "return state_ == states::half_open ? given_up_ : due_;", "return due_;")),
    ("ejected_still_used",
     "the idle connections of an upstream that is given a pause are lent all the same",
     (CONNECTING, "std::erase_if(idle_, [&](const pool_connection& i) { return i.at == &u; });",
      "")),
    ("accepts_too_many",
     "one turn of accepting goes beyond limits::connections",
     (ACCEPTING, " && open_ < allowed_", "")),
    ("reads_while_unsent",
     "a server reads on while its peer does not read: no back-pressure",
     (SESSION_BASE, "return try_flush() ? fill_flushed() : flush_and_fill();",
      "try_flush();\n        return fill_flushed();")),
    ("slow_sender_gains_time",
     "timeouts::message begins again with each byte",
     (TURNS, "if (begun_ == never) begun_ = now;", "begun_ = now;")),
    ("drain_forgets_backlog",
     "a drain closes the door on who is connected and not yet accepted",
     (ACCEPTING, "std::uint64_t before = ~counters_.accepted;",
      "std::uint64_t before = counters_.accepted;")),
    ("drain_takes_pools_first",
     "a server that drains drains its pools too, while the logics of its connections need them",
     (ENDING, "        l->drain();\n    }",
      "        l->drain();\n    }\n    for (const auto& [name, p] : pools_) p->drain();")),
    ("drain_forgets_waiters",
     "who waits for a connection when its pool begins to drain is sent away",
     (LENDING, "if (!waiters_.empty()) return;", "fail_waiters(errc::draining);")),
    ("drain_waits_for_nothing",
     "a server that drains is not told that the last request of a pool has ended",
     (ENDING, "p->when_empty_ = [this] { one_emptied(); };", "")),
    ("drained_pool_goes_on",
     "a pool that drains takes requests whose connection is made for them",
     (LENDING, "if (draining_) co_return errc::draining;", "")),
    ("closes_before_read",
     "a goodbye does not wait until the peer has read it",
     (ACCEPTING, "if (sent) co_await peer.bytes().linger(settings_.timeouts.linger);",
      "static_cast<void>(sent);")),
]


def sources(edits):
    """What has to be compiled again: the changed .cpp files, and who holds the changed headers."""
    found = {file for file, _, _ in edits if file.endswith(".cpp")}
    for file, _, _ in edits:
        found.update(HOLDS.get(file, []))
    return sorted(found)


def plant(name, to):
    _, _, *edits = next(m for m in MUTANTS if m[0] == name)
    texts = {}
    for file, old, new in edits:
        text = texts.get(file) or (ROOT / file).read_text()
        if text.count(old) != 1:
            sys.exit(f"mutant {name}: {file} has {text.count(old)} times, not once: {old!r}")
        texts[file] = text.replace(old, new)
    for file in sources(edits):
        texts.setdefault(file, (ROOT / file).read_text())
    for file, text in texts.items():
        (to / file).parent.mkdir(parents=True, exist_ok=True)
        (to / file).write_text(text)


def run(programs, seeds):
    missed = []
    print(f"{'mutant':<24} {'seeds':>6}  found by")
    for name, *_ in MUTANTS:
        begin = time.monotonic()
        try:
            ran = subprocess.run([programs / name, "--seeds", str(seeds), "--twice", "0"],
                                 capture_output=True, text=True, errors="replace", timeout=300)
            said = re.search(r"^FAILED seed (\d+): (.*)", ran.stdout, re.M)
        except subprocess.TimeoutExpired:
            said = None
        if not said:
            missed.append(name)
        needed, what = (said[1], said[2]) if said else ("none", f"NOT FOUND in {seeds} seeds")
        print(f"{name:<24} {needed:>6}  {what} ({time.monotonic() - begin:.1f} s)", flush=True)
    return f"not found: {', '.join(missed)}" if missed else 0


def main():
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list")
    planting = verbs.add_parser("plant")
    planting.add_argument("name")
    planting.add_argument("to", type=Path)
    running = verbs.add_parser("run")
    running.add_argument("programs", type=Path)
    running.add_argument("--seeds", type=int, default=1000)
    told = parser.parse_args()
    if told.verb == "list":
        for name, _, *edits in MUTANTS:
            print(";".join([name, *sources(edits)]))
        return 0
    if told.verb == "plant":
        return plant(told.name, told.to)
    return run(told.programs, told.seeds)


if __name__ == "__main__":
    sys.exit(main())
