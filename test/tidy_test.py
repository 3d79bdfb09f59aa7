"""A style rule that finds nothing is worse than none: each is shown one planted violation here,
and the look-alikes it must leave alone."""
import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tidy

BANNER = "// What this is. What it never does.\n"
HEADER = BANNER + "#pragma once\n"
TEST = BANNER + "int main() {}\n"

CLEAN = {
    "include/ice/ice.hpp": HEADER + "#include <ice/server.hpp>\n",
    "include/ice/error.hpp": HEADER,
    "include/ice/task.hpp": HEADER + "#include <asio/awaitable.hpp>\n#include <ice/error.hpp>\n",
    "include/ice/protocol.hpp": HEADER + "#include <ice/error.hpp>\n",
    "include/ice/protocols/line.hpp": HEADER + "#include <ice/protocol.hpp>\n",
    "include/ice/channel.hpp": HEADER + "#include <ice/task.hpp>\n",
    "include/ice/session.hpp": HEADER + "#include <ice/channel.hpp>\n#include <ice/protocol.hpp>\n",
    "include/ice/logic.hpp": HEADER + "#include <ice/session.hpp>\n",
    "include/ice/pool.hpp": HEADER + "#include <ice/session.hpp>\n",
    "include/ice/server.hpp": HEADER + "#include <ice/pool.hpp>\n#include <asio/io_context.hpp>\n",
    "include/ice/testing/script.hpp": HEADER + "#include <ice/protocol.hpp>\n",
    "lib/transport/socket_transport.cpp": BANNER + "auto t = std::chrono::steady_clock::now();\n"
                                      "std::random_device chance;\n",
    "apps/tutorial/1_echo.cpp": BANNER + "// [echo]\n" + "int i;\n" * 10 + "// [echo]\n",
    **{f"test/{noun}_test.cpp": TEST for noun in
       "error task protocol line channel session logic pool server script".split()}}


def inspect(root, *changes):
    """tidy's lines for the clean tree with these (path, text or None to remove) changes."""
    for path, text in [*CLEAN.items(), *changes]:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink() if text is None else file.write_text(text)
    subprocess.run(["git", "init", "-q", "--template="], cwd=root, check=True)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        failed = tidy.main(root)
    return printed.getvalue().splitlines() if failed else []


def lib(statement):  # one statement, in line 3 of a .cpp
    return "lib/core/x.cpp", f"{BANNER}task<> f() {{\n    {statement}\n}}\n"


def public(path, line):  # one line, in line 3 of a header
    return f"include/ice/{path}", f"{HEADER}{line}\n"


def include(path, name):
    return public(path, f"#include <{name}>")


PLANTS = {  # sentence: the violation, the line where it is found, and what is found
    "a header over 300 lines": (
        ("include/ice/error.hpp", HEADER + "int i;\n" * 299), 301, "301 lines, at most 300"),
    "a private header over 300 lines": (
        ("lib/core/x.hpp", HEADER + "int i;\n" * 299), 301, "301 lines, at most 300"),
    "an implementation over 420 lines": (
        ("lib/core/x.cpp", BANNER + "int i;\n" * 420), 421, "421 lines, at most 420"),
    "what apps share over 420 lines": (
        ("apps/common/x.cpp", BANNER + "int i;\n" * 420), 421, "421 lines, at most 420"),
    "an app over 60 lines": (
        ("apps/x.cpp", BANNER + "int i;\n" * 61), 61, "61 lines, at most 60"),
    "a first step over ten lines of code": (
        ("apps/tutorial/1_echo.cpp", BANNER + "int i;\n" * 11), 11, "11 lines, at most 10"),
    "a line of 101 columns": (
        ("lib/core/x.cpp", BANNER + "x" * 100 + "Y\n"), 2, "'Y' (beyond 100"),
    "a function of 61 lines": (
        ("lib/core/x.cpp", BANNER + "int f(\n    int a) const {\n" + "    a;\n" * 59 + "}\n"),
        3, "function of 61 lines"),
    "a long constructor": (
        ("lib/core/x.cpp", BANNER + "x::x(int a) : a_{a} {\n" + "    a;\n" * 59 + "}\n"),
        2, "function of 61 lines"),
    "a long function of a class in a namespace": (
        public("error.hpp", "namespace ice {\nstruct a {\n    auto f() -> int {\n" + "int i;\n" * 59
               + "    }\n};\n}"), 5, "function of 61 lines"),
    "a tab": (lib("int\ti;"), 3, r"'\t' (tabs"),
    "a trailing blank": (lib("int i; "), 3, "' ' (tabs"),
    "a trailing blank in CMake": (
        ("lib/core/CMakeLists.txt", "# Builds.\nadd_library(x) \n"), 2, "' ' (tabs"),
    "a header without pragma once": (
        ("include/ice/error.hpp", BANNER), 1, "no #pragma once"),
    "a file without a banner": (("lib/core/x.cpp", "int i;\n" + BANNER), 1, "no banner"),
    "a test without a banner": (("test/line_test.cpp", "int main() {}\n"), 1, "no banner"),
    "a tag is no banner": (("apps/x.cpp", "// [echo]\nint i;\n// [echo]\n"), 1, "no banner"),
    "a banner of 13 lines": (("lib/core/x.cpp", "// word\n" * 13 + "int i;\n"), 1, "no banner"),
    "a header without a test": (
        ("test/line_test.cpp", None), "include/ice/protocols/line.hpp:1", "no test/line_test.cpp"),
    "a header without a room": (public("misc.hpp", "int i;"), 1, "no room"),
    "a quoted include": (public("task.hpp", '#include "error.hpp"'), 3, "says <ice/...>"),
    "a word that sees a protocol": (include("task.hpp", "ice/protocol.hpp"), 3, "core must not"),
    "a word that sees a later word": (include("error.hpp", "ice/limits.hpp"), 3, "values must not"),
    "a word that sees sockets": (include("task.hpp", "asio/ip/tcp.hpp"), 3, "core must not"),
    "a word that sees boost's sockets": (
        include("task.hpp", "boost/asio/ip/tcp.hpp"), 3, "core must not"),
    "a word that sees all of Asio": (include("task.hpp", "asio.hpp"), 3, "asio.hpp (core"),
    "an error that brings Asio to protocols": (
        include("error.hpp", "asio/awaitable.hpp"), 3, "values must not"),
    "a protocol that sees Asio": (
        include("protocols/line.hpp", "asio/awaitable.hpp"), 3, "protocols must not"),
    "a protocol that sees a task": (include("protocol.hpp", "ice/task.hpp"), 3, "protocols must"),
    "a protocol that sees a later one": (
        include("protocols/line.hpp", "ice/protocols/telnet.hpp"), 3, "protocols must not"),
    "a protocol that sees transport": (
        include("protocol.hpp", "ice/channel.hpp"), 3, "protocols must not"),
    "transport that sees a protocol": (
        include("channel.hpp", "ice/protocol.hpp"), 3, "transport must not"),
    "transport that sees a conversation": (
        include("channel.hpp", "ice/session.hpp"), 3, "transport must not"),
    "a conversation that sees an action": (
        include("session.hpp", "ice/pool.hpp"), 3, "conversation must not"),
    "an action that sees a pool": (include("listener.hpp", "ice/pool.hpp"), 3, "actions must"),
    "a pool that sees the server": (include("pool.hpp", "ice/server.hpp"), 3, "pool must"),
    "a server that sees everything": (include("server.hpp", "ice/ice.hpp"), 3, "server must not"),
    "an include of tests in ice.hpp": (
        include("ice.hpp", "ice/testing/script.hpp"), 3, "top must not"),
    "a source that sees a later room": (
        ("lib/transport/x.cpp", BANNER + "#include <ice/session.hpp>\n"), 2, "transport must not"),
    "a source that includes one of a later room": (
        ("lib/core/x.cpp", BANNER + '#include "../server/x.hpp"\n'), 2, "core must not"),
    "an old word": (("docs/x.md", "a message under way\n"), 1, "'under way' (docs/glossary.md"),
    "an old word in a name": (lib("int lend_at_once();"), 3, "'lend' (docs"),
    "an include of a header without a room": (
        include("server.hpp", "ice/misc.hpp"), 3, "ice/misc.hpp (server"),
    "real time in lib": (
        lib("auto t = std::chrono::steady_clock::now();"), 3, "'steady_clock::now"),
    "real time in a test": (
        ("test/x_test.cpp", BANNER + "auto t = steady_clock::now();\n"), 2, "'steady_clock::now"),
    "the time of day": (lib("auto t = std::chrono::system_clock::now();"), 3, "'system_clock::now"),
    "an assert that reads the clock": (
        lib("void f() { assert(begin <= now()); }"), 3, "'assert(begin <= now()"),
    "std::rand by name": (lib("std::generate(a, b, std::rand);"), 3, "'std::rand"),
    "a call of rand": (lib("int i = rand() % 6;"), 3, "'rand("),
    "a call between digits": (lib("int i = 1'000; rand(); i = 2'000;"), 3, "'rand("),
    "another random_device": (lib("std::random_device chance;"), 3, "'random_device"),
    "a blocking getaddrinfo": (lib("::getaddrinfo(a, b, c, d);"), 3, "'getaddrinfo"),
    "C's clock": (lib("auto t = std::time(nullptr);"), 3, "'time(nullptr)"),
    "a header that opens a namespace": (
        public("error.hpp", "using namespace std::literals;"), 3, "'using namespace"),
    "a text made in a header": (
        public("error.hpp", "auto f() { return fmt::format(text); }"), 3, "'fmt::format'"),
    "a detached coroutine": (lib("co_spawn(io, f(), asio::detached);"), 3, "'asio::detached"),
    "a polled io_context": (lib("while (server.io().poll()) {}"), 3, "'io().poll("),
    "a polled io_context by name": (lib("io_context_.poll_one();"), 3, "'io_context_.poll_one("),
    "a braced argument": (lib("co_await f(1, {2, 3});"), 3, "braced list"),
    "an aggregate argument": (lib("auto a = co_await f(options{.a = 1});"), 3, "braced list"),
    "an aggregate around co_await": (lib("return pair<int>{co_await f(), 1};"), 3, "braced list"),
    "a braced argument in a condition": (lib("if (co_await f({2})) g();"), 3, "braced list"),
    "a capturing lambda": (lib("co_await f([&] { return 1; });"), 3, "capturing lambda"),
    "a lambda called at once": (lib("co_await [x]() -> task<> { g(x); }();"), 3, "capturing lam"),
    "a braced list after a lambda": (lib("co_await f([](int) { g(); }, {1});"), 3, "braced list"),
    "a co_await in one arm of ?:": (lib("int i = a ? co_await f() : 0;"), 3, "?: beside"),
    "a co_await in a condition with ?:": (lib("while (co_await f(a ? b : c)) {}"), 3, "?: beside"),
    "a fault in the second line": (lib("co_await f(a,\n        co_await g({1}));"), 3, "braced"),
    "a structured binding": (lib("auto [a, b] = co_await f();"), 3, "structured binding"),
    "a structured binding by reference": (
        lib("const auto& [a, b] = co_await f();"), 3, "structured binding")}

LOOK_ALIKES = {  # sentence: what must not be found
    "words in a comment": lib("// rand() asio::detached\n    /* steady_clock::now\n rand() */"),
    "words in a string": lib('f("rand()", "\\"getaddrinfo", R"x(time(nullptr) ")x");'),
    "a formatter in a header": public("error.hpp", "auto f() { return fmt::format_to(out, 1); }"),
    "words within words": lib("int brand(int); runtime(nullptr); operand(1);"),
    "words that contain an old one": ("docs/x.md", "a slender calendar, crude and blended\n"),
    "words in CMake": (
        "lib/core/CMakeLists.txt", "check_symbol_exists(getaddrinfo netdb.h FOUND)\n"),
    "an include in a comment": public("error.hpp", "/*\n#include <ice/server.hpp>\n*/"),
    "someone else's poll": lib("::poll(&one, 1, 0); queue.poll(); radio.poll();"),
    "std::literals in a test": ("test/x_test.cpp", BANNER + "using namespace std::literals;\n"),
    "an earlier header of the room": include("logic.hpp", "ice/session.hpp"),
    "a new protocol upon an old one": include("protocols/telnet.hpp", "ice/protocols/line.hpp"),
    "the time of day in the log": (
        "lib/core/log.cpp", BANNER + "auto t = std::chrono::system_clock::now();\n"),
    "the yardsticks": (
        "bench/x.cpp", BANNER + "auto t = steady_clock::now(); spawn(asio::detached);\n"),
    "a function of 60 lines": (
        "lib/core/x.cpp", BANNER + "int f(int a) {\n" + "    a;\n" * 58 + "}\n"),
    "a namespace and a class of 70 lines": (
        "lib/core/x.cpp", BANNER + "namespace a {\nclass b : c<d()> {\n" + "    int e(int);\n" * 70
        + "};\n}\n"),
    "a class of 70 lines after a constructor": (
        "lib/core/x.cpp", BANNER + "a::a(int b) : c(b) {\n}\nclass d : e {\n" + "    int f;\n" * 70
        + "};\n"),
    "a banner of 12 lines": ("lib/core/x.cpp", "// word\n" * 12 + "\nint i;\n"),
    "a list in the statement before": lib("f({1, 2});\n    co_await g();"),
    "a list after an awaiting condition": lib("if (co_await f()) g({1, 2});"),
    "a ?: in the condition before": lib("if (a ? b : c) co_await f();"),
    "a ?: in the block before": lib("if (a) {\n        b ? c : d;\n    }\n    co_await f();"),
    "a list in a loop over it": lib("for (int i : {1, 2}) co_await f(i);"),
    "a lambda that captures nothing": lib("co_await f([](int a) { return a; });"),
    "a coroutine lambda": lib("spawn([&, a = b{1}]() -> task<> { co_await f(a); });"),
    "a subscript": lib("co_await f(a[1], b()[2], c[d][e]);"),
    "an attribute": lib("if (co_await f()) [[unlikely]] co_return {};"),
    "a named result, then its parts": lib("auto r = co_await f();\n    auto& [a, b] = r;")}


def test_a_clean_tree_has_no_finding(tmp_path):
    assert inspect(tmp_path) == []


@pytest.mark.parametrize("sentence", PLANTS)
def test_each_violation_is_found(sentence, tmp_path):
    change, line, what = PLANTS[sentence]
    path = f"{change[0]}:{line}" if isinstance(line, int) else line
    found = inspect(tmp_path, change)
    assert any(f.startswith(f"{path}: ") and what in f for f in found), found
    # a header that is new here also lacks its test: apart from that, one plant is one finding
    assert len([f for f in found if "has a test" not in f or "without a test" in sentence]) == 1


@pytest.mark.parametrize("sentence", LOOK_ALIKES)
def test_text_that_resembles_a_violation_is_not_found(sentence, tmp_path):
    found = inspect(tmp_path, LOOK_ALIKES[sentence])
    assert [f for f in found if "has a test" not in f] == []


def test_every_row_of_the_tables_has_a_violation_here():
    found = "".join(f"{what} " for _, _, what in PLANTS.values())
    for row in tidy.NEEDED + tidy.CO_AWAIT:
        assert any(what in row[-1] + row[-2] for _, _, what in PLANTS.values()), row
    for words, *_ in tidy.BANNED:
        assert re.search(words, found.replace("'", " ") + "("), words
    for where, most, *_ in tidy.SIZES:
        assert f"at most {most}" in found, where


def test_the_exit_status_is_the_verdict(tmp_path):
    inspect(tmp_path)
    command = [sys.executable, tidy.__file__, tmp_path]
    assert subprocess.run(command, capture_output=True).returncode == 0
    (tmp_path / "lib/transport/x.cpp").write_text("int i; \n")
    assert subprocess.run(command, capture_output=True).returncode == 1


def test_a_file_that_git_ignores_is_not_checked(tmp_path):
    assert inspect(tmp_path, (".gitignore", "build\n"), ("build/x.cpp", "int\ti;\n")) == []


def test_tidy_has_less_than_150_lines():
    assert len(Path(tidy.__file__).read_text().splitlines()) < 150
