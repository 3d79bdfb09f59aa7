#!/usr/bin/env python3
"""Style as a test: prints `path:line: what (why)` for each finding, exits 1 if there is any.
A new rule is a new row of a table here, and a planted violation in tidy_test.py."""
import re
import subprocess
import sys
from fnmatch import fnmatch  # its * also crosses /
from pathlib import Path

CPP, CORE, CLOCK = "*.hpp *.cpp", "include/* lib/*", "lib/transport/socket_transport.cpp"
TEXT = f"{CPP} *.py *.cmake *CMakeLists.txt *.md"
UNTESTED = "lib/* */ice.hpp */version.* */export.* */asio.* */link_base.* */pool_base.* */pool_con*"

SIZES = [  # which files (the first row counts), most lines, comment lines excused?, why
    ("*.hpp", 300, False, "one noun"), ("lib/*.cpp apps/common/*.cpp", 420, False, "one sitting"),
    ("apps/tutorial/1_*.cpp", 10, True, "ten lines"), ("apps/*.cpp", 60, True, "one glance")]

ROOMS = [  # room, its headers in order, rooms above it that it must not see, Asio it may include
    ("values", "version export error result duration limits backoff", "", ""),  # need no Asio
    ("core", "task until_resumed address uid buffer deadline event log task_group cancel_at "
     "standard_*", "", "asio/a[wns]* asio/post.hpp asio/use_awaitable.hpp"),
    ("protocols", "protocol part_* memc* nats_[im]* nats_co* resp_* tel* */raw */line */resp "
     "protocols/*", "core", ""), ("transport", "desc* channel time_limit transport server_*",
     "protocols", "*"), ("conversation", "session_* session logic answer* serve", "", "*"),
    ("actions", "failure fan_out health* reply* act* run_session listener* link*", "", "*"),
    ("pool", "breaker upstream* pool_con* retry* pool_state pool_core ex*_state connection_pool "
     "pool_base pip* lease pool forward res*", "", "*"), ("server", "server asio nats* bus r*", "",
     "*"), ("top", "ice", "", "*"), ("testing", "testing/*", "", "*"), ("no room", "*", "", "*")]

NEEDED = [  # pattern, where, what, why; a banner aims at 1-4 lines, a long contract takes more
    (r"\A(?!// \[\w+\]\n)(//.*\n){1,12}(?!//)", CPP, "no banner of 1-12 lines", "what is it?"),
    (r"(?m)^#pragma once\b", "*.hpp", "no #pragma once", "a header may be included twice")]

BANNED_TEXT = [  # words, where, except in, why
    (r"(?m)(?<=^.{100}).+", TEXT, "*.md", "beyond 100 columns"),
    (r'(?m)^[ \t]*#[ \t]*include[ \t]*"', "include/*", "", "a public header says <ice/...>"),
    (r"(?m)\t|[ \t]+$", TEXT, "*.md", "tabs and trailing blanks show in every later diff"),
    ("(?i)(?<![a-z])(under.way|patience|goodbye|loan|lend|take_back|hand_out|cut_short|at_rest|deaf"
     "|unpackable|found_dead|pool_wait_timeout|ejections|upstream_stuck|shared_line|make_room|rude"
     "|midway|talking|one_peer|accept_verdict|let_go|guesses|starved|is_moving)(?![a-z])", TEXT,
     "CHANGELOG.md */glossary.md */tidy*", "docs/glossary.md has the field's word")]

BANNED = [  # the same, with comments and strings left out
    (r"\b(steady|high_resolution)_clock::now\b", "include/* lib/* apps/* test/*",
     f"{CLOCK} */poller.cpp test/world.hpp */calls.cpp", "a test can own the transport's time"),
    (r"\bsystem_clock::now\b", CORE, "*/log.hpp */log.cpp", "only the log tells the time of day"),
    (r"\bassert\s*\([^;]*\bnow\s*\(\s*\)", CORE, "", "release builds do not read the clock there"),
    (r"\b(s?rand\s*\(|time\s*\(\s*(nullptr|NULL|0)\s*\)|std::s?rand\b)", CPP, "", "untestable"),
    (r"\brandom_device\b", CPP, CLOCK, "the transport alone draws the seed"),
    (r"\bgetaddrinfo\b", CORE, "lib/transport/resolver.cpp", "it blocks"),
    (r"\busing\s+namespace\b", "*.hpp", "test/*", "a header must not open names for its user"),
    (r"\bfmt::(format|join)\b", "include/*", "*/testing/*", "not in every fmt/core.h: use lib/"),
    (r"\basio::detached\b", CPP, "bench/*", "it swallows exceptions: spawn supervised"),
    (r"\b(\w*_)?(ioc?|ctx|context)_?(\(\))?(\.|->)poll(_one)?\(", CPP, "lib/server/*", "it spins")]

CO_AWAIT = [  # what may not share an expression with co_await, as parts() writes it
    (r"\bauto\s*&{0,2}\s*\[[^]]*\]\s*[=:(].*\bco_await", "structured binding on co_await"),
    ("«", "braced list beside co_await"),
    (r"(?<!auto )(?<!auto& )(?<![\w)\[\]&])\[(?=[^]\[])", "capturing lambda beside co_await"),
    (r"\?", "?: beside co_await")]

HIDDEN = re.compile(r'//[^\n]*|/\*.*?\*/|R"([^(\s"]*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"'
                    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'", re.S)  # 1'000 opens no character
INCLUDE = re.compile(r'^[ \t]*(#)\s*include\s*[<"](?:boost/)?((ice/|asio\b)?[^>"\n]*)', re.M)
NESTED = r"(?:[^()]|\(" * 5 + "[^()]*" + r"\))*" * 5
CONTROL = re.compile(rf"\b(?:if|while|for|switch)(?:\s+constexpr)?\s*\(({NESTED})\)")
LIST = re.compile(r"([\w>{]|[=(,]\s*|\b(co_)?return\s*)$")  # before a block's { there is a blank
BODY = re.compile(r"\)\s*((?!namespace)[cfmnot]\w+\b\s*|&+\s*)*((->|:|requires)[^;{}]*)?$")


def among(path, patterns):
    return any(fnmatch(path, pattern) for pattern in patterns.split())


def place(path):  # the rank of its room, and its own in there
    noun = re.sub(r"^(include/)?ice/(detail/)?|\.hpp$", "", path)
    if inside := re.match(r"(?:lib|\.\.)/(\w+)/", path):
        return [room for room, *_ in ROOMS].index(inside[1]), 99
    return next((rank, order) for rank, (_, nouns, *_) in enumerate(ROOMS)
                for order, pattern in enumerate(nouns.split()) if fnmatch(noun, pattern))


def parts(code):
    """Yields (line, expression, 0) where a co_await is, (line, "", length) for a function."""
    code = "{" + CONTROL.sub(r";\1;", re.sub(r"(?m)^[ \t]*#.*", "", code)) + "}"
    while innermost := re.search(r"\{([^{}]*)\}", code):
        before, inside, after = code[:innermost.start()], innermost[1], code[innermost.end():]
        if LIST.search(before):
            code = f"{before}«{inside}»{after}"
            continue
        line = before.count("\n") + 1
        if BODY.search(before):
            yield line, "", inside.count("\n") + 1
        for part in inside.split(";"):
            if "co_await" in part:
                yield line + part[:part.index("co_await")].count("\n"), part, 0
            line += part.count("\n")
        ended = "" if re.match(r"\s*[,;.()]", after) else ";"  # "": the body of a lambda
        code = before + "\n" * inside.count("\n") + ended + after


def findings(path, text, tracked):
    code = HIDDEN.sub(lambda hit: re.sub(".", " ", hit[0]), text) if among(path, CPP) else ""
    for _, most, excused, why in [row for row in SIZES if among(path, row[0])][:1]:
        size = sum(not (excused and line.lstrip().startswith("//")) for line in text.splitlines())
        if size > most:
            yield most + 1, f"{size} lines, at most {most}", why
    for words, where, what, why in NEEDED:
        if among(path, where) and not re.search(words, text):
            yield 1, what, why
    for seen, table in (text, BANNED_TEXT), (code, BANNED):
        for words, where, exceptions, why in table:
            if among(path, where) and not among(path, exceptions):
                for hit in re.finditer(words, seen):
                    yield text.count("\n", 0, hit.start()) + 1, repr(hit[0]), why
    for line, expression, length in parts(code):
        if length > 60 and among(path, CORE):
            yield line, f"function of {length} lines", "at most 60"
        for words, what in CO_AWAIT if not among(path, "test/compile_fail/*") else ():
            if re.search(words, expression, re.S):
                yield line, what, "GCC 12 may destroy it twice: give it a name"
    if not among(path, "include/ice/*.hpp lib/*"): return
    if not among(path, UNTESTED) and (test := f"test/{Path(path).stem}_test.cpp") not in tracked:
        yield 1, f"no {test}", "every public header has a test"
    room, _, unseen, asio = ROOMS[(here := place(path))[0]]
    if room == "no room":
        yield 1, room, "ROOMS has none for it"
    for hit in INCLUDE.finditer(text):
        name, kind, there = hit[2], hit[3], place(hit[2])
        own = kind == "ice/" or name.startswith("../")
        wrong_room = own and (there > here or ROOMS[there[0]][0] == unseen)
        wrong_asio = kind == "asio" and not among(path, "lib/*") and not among(name, asio)
        if code[hit.start(1)] == "#" and (wrong_room or wrong_asio):
            yield text.count("\n", 0, hit.start(1)) + 1, name, f"{room} must not see it"


def main(root):
    git = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    listed = subprocess.run(git, cwd=root, check=True, capture_output=True, text=True).stdout
    tracked = sorted(path for path in set(listed.split("\0")) if (root / path).is_file())
    texts = {path: (root / path).read_text("utf-8") for path in tracked if among(path, TEXT)}
    found = [f"{path}:{line}: {what} ({why})" for path, text in texts.items()
             for line, what, why in sorted(findings(path, text, tracked))]
    print("\n".join(found) or f"tidy: {len(tracked)} files, nothing found")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1])))
