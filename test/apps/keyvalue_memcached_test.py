"""`keyvalue --protocol memcached`, asked by a client in Python, by the conformance test of
libmemcached, byte by byte, and beside a real memcached."""
import random
import re
import shutil
import socket
import subprocess
import time

import pytest
import memcached
from app import ENOUGH, SANITIZED
from keyvalue_test import talk

pymemcache = pytest.importorskip("pymemcache.client.base")
KIB = 1024


@pytest.fixture
def app(start):
    return start("keyvalue", "--protocol", "memcached", "--memory", str(4096 * KIB))


@pytest.fixture
def memcache(app):
    client = pymemcache.Client(("127.0.0.1", app.port), timeout=ENOUGH)
    yield client
    client.close()


@pytest.mark.skipif(not shutil.which("memccapable"), reason="memccapable is not installed")
def test_the_conformance_test_of_libmemcached_passes(app):
    done = subprocess.run(["memccapable", "-h", "127.0.0.1", "-p", str(app.port), "-a"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=ENOUGH,
                          text=True, check=False)
    assert done.returncode == 0 and "All tests passed" in done.stdout, done.stdout


@pytest.mark.parametrize("noreply", [False, True])
def test_a_python_client_is_served(memcache, noreply):
    # Danger: an answer to noreply shifts all that follow.
    assert memcache.set("k", b"\r\nEND\r\n\0\xff", noreply=noreply)
    assert memcache.get("k") == b"\r\nEND\r\n\0\xff"
    assert memcache.add("k", b"x", noreply=noreply) is noreply
    assert memcache.replace("k", b"x", noreply=noreply)
    assert memcache.append("k", b">", noreply=noreply)
    assert memcache.prepend("k", b"<", noreply=noreply)
    assert memcache.get_many(["k", "none", "k"]) == {"k": b"<x>"}
    value, cas = memcache.gets("k")
    assert value == b"<x>"
    assert memcache.cas("none", b"1", cas) is None
    assert memcache.cas("k", b"1", cas, noreply=noreply)
    assert memcache.cas("k", b"2", cas) is False
    assert memcache.incr("k", 41) == 42
    assert memcache.decr("k", 50) == 0
    assert memcache.incr("none", 1) is None
    memcache.set("k", b"18446744073709551615", noreply=noreply)
    assert memcache.incr("k", 2) == 1
    memcache.set("k", b"no number", noreply=noreply)
    with pytest.raises(pymemcache.MemcacheClientError):
        memcache.incr("k", 1)
    assert memcache.touch("k", 100, noreply=noreply)
    assert memcache.delete("k", noreply=noreply)
    assert memcache.get("k") is None
    assert memcache.delete("k", noreply=False) is False
    assert memcache.version() == b"ice"


def test_items_have_flags_and_expire(app, connect):
    # Danger: an item that is out of date is served; or one that expires in an hour is not.
    client = connect(app)
    in_an_hour = int(time.time()) + 3600
    for when, there in ("0", True), ("3600", True), (str(in_an_hour), True), ("-1", False), (
            "2592001", False):
        value = b"VALUE k 4294967295 1\r\nx\r\n" if there else b""
        talk(client, b"set k 4294967295 %s 1\r\nx\r\nget k\r\n" % when.encode(),
             b"STORED\r\n" + value + b"END\r\n")
    talk(client, b"set k 7 0 1\r\nx\r\ngat 3600 k none\r\ntouch k -1\r\nget k\r\ntouch k 1\r\n",
         b"STORED\r\nVALUE k 7 1\r\nx\r\nEND\r\nTOUCHED\r\nEND\r\nNOT_FOUND\r\n")
    talk(client, b"set k 7 -1 1\r\nx\r\ndelete k\r\nadd k 0 0 1\r\ny\r\nflush_all 3600\r\nget k\r\n"
                 b"flush_all\r\nget k\r\n",
         b"STORED\r\nNOT_FOUND\r\nSTORED\r\nOK\r\nVALUE k 0 1\r\ny\r\nEND\r\nOK\r\nEND\r\n")


@pytest.mark.parametrize("asked, answer", [
    (b"get", b"ERROR"), (b"gat 5", b"ERROR"), (b"nonsense k", b"ERROR"), (b"set_", b"ERROR"),
    (b"gat x k", b"CLIENT_ERROR invalid exptime argument"),
    (b"touch k x", b"CLIENT_ERROR invalid exptime argument"),
    (b"incr k -1", b"CLIENT_ERROR invalid numeric delta argument"),
    (b"get " + 251 * b"k", b"CLIENT_ERROR bad command line format"),
    (b"flush_all x", b"CLIENT_ERROR bad command line format"),
    (b"set k 4294967296 0 1\r\nx", b"CLIENT_ERROR bad command line format"),
    (b"set k 0 x 9\r\nflush_all", b"CLIENT_ERROR bad command line format"),
    (b"set " + 251 * b"k" + b" 0 0 9\r\nflush_all", b"CLIENT_ERROR bad command line format"),
    (b"cas k 0 0 9\r\nflush_all", b"ERROR"),
    (b"ms k 9 z\r\nflush_all", b"CLIENT_ERROR invalid flag"),
    (b"mn", b"MN")])
def test_an_error_is_one_answer_and_no_value_is_a_command(app, connect, asked, answer):
    # Danger: a value of a command that is refused is executed.
    talk(connect(app), b"set here 0 0 1\r\nx\r\n" + asked + b"\r\nget here\r\n",
         b"STORED\r\n" + answer + b"\r\nVALUE here 0 1\r\nx\r\nEND\r\n")


@pytest.mark.parametrize("sent, said", [
    (b"set k 0 0 x\r\nflush_all\r\n", b"CLIENT_ERROR bad command line format\r\n"),
    (b"set k 0 0 1\r\nxflush_all\r\n", b"CLIENT_ERROR bad data chunk\r\n"),
    (b"set k 0 0 1073741824\r\n", b"SERVER_ERROR object too large for cache\r\n"),
    (b"quit\r\n", b"")])
def test_invalid_input_ends_its_connection_with_an_error(app, connect, sent, said):
    fine, wrong = connect(app), connect(app)
    talk(fine, b"set here 0 0 1\r\nx\r\n", b"STORED\r\n")
    wrong.send(b"mn\r\n" + sent + b"flush_all\r\n")
    assert wrong.rest() == b"MN\r\n" + said
    talk(fine, b"get here\r\n", b"VALUE here 0 1\r\nx\r\nEND\r\n")


def test_the_memory_for_values_is_bounded_and_given_back(app, memcache):
    # Danger: a client fills the memory of the machine; or an item that was deleted, or flushed,
    # counts for ever.
    large, before = bytes(512 * KIB), app.status("VmRSS")
    for round_ in range(20):
        names = [f"{round_}-{i}" for i in range(7)]
        for name in names:
            assert memcache.set(name, large, noreply=False)
        with pytest.raises(pymemcache.MemcacheServerError, match="out of memory"):
            memcache.set("more", large, noreply=False)
        assert len(memcache.get_many(names[:1])) == 1
        if round_ % 2 == 0:
            memcache.flush_all(noreply=False)
        else:
            memcache.delete_many(names, noreply=False)
    if not SANITIZED:
        assert app.status("VmRSS") - before < 8192  # KiB: those 4 MiB, and buffers


FLAGS = {b"mg": b"k q v f t s c Oxy T900 T0 kx v D1 J0 F1 C0", b"md": b"k q O1 C3 k t v",
         b"ms": b"k q c O1 F7 F0 T800 T0 MS ME MA MP MR Mx C3 k s Tx", b"mn": b"",
         b"ma": b"k q v t c O1 N0 N60 J5 D2 MI M+ C3 Jx"}


def meta_commands(seed, count):
    draw = random.Random(seed)
    for _ in range(count):
        name = draw.choice(sorted(FLAGS))
        known = FLAGS[name].split()
        flags = draw.sample(known, draw.randint(0, min(5, len(known))))
        # Numbers that ma may change are not appended to: they stay short. Behind ms with such a
        # long key memcached takes the value for a command.
        keys = [b"n"] if name == b"ma" else [b"a", b"b", b"n", *[251 * b"k"] * (name != b"ms")]
        key = draw.choice(keys)
        if key == b"n":
            flags = [flag for flag in flags if flag not in (b"MA", b"MP")]
        value = b"%d" % draw.randint(0, 99)
        size = [b"%d" % len(value)] if name == b"ms" else []
        line = b" ".join([name, key, *size, *flags]) + b"\r\n"
        yield line + (value + b"\r\n" if name == b"ms" else b"")


@pytest.mark.skipif(not memcached.installed(), reason="memcached is not installed")
@pytest.mark.parametrize("seed", range(4))
def test_meta_commands_are_answered_as_by_memcached(app, connect, tmp_path, seed):
    # Danger: a client that was tested with memcached misreads an answer, or waits for one.
    real, client = memcached.Memcached(tmp_path), connect(app)

    def until_ok(read):
        data = b""
        while not data.endswith(b"OK\r\n"):
            more = read(65536)
            assert more, f"the connection ended after {data!r}"
            data += more
        # A second may pass between the two.
        return re.sub(rb" t(\d+)", lambda hit: b" t%d" % round(int(hit[1]), -1), data)
    try:
        with socket.socket(socket.AF_UNIX) as other:
            other.settimeout(ENOUGH)
            other.connect(str(real.path))
            for command in meta_commands(seed, 1000):
                other.sendall(command + b"verbosity 0\r\n")
                client.send(command + b"verbosity 0\r\n")
                expected = until_ok(other.recv)
                assert until_ok(client.socket.recv) == expected, command
    finally:
        real.close()
