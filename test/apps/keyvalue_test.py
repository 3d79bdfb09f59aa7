"""`keyvalue`, asked by Redis' own client and load generator, and byte by byte."""
import shutil
import subprocess

import pytest
from app import ENOUGH, SANITIZED

TOOLS = pytest.mark.skipif(not (shutil.which("redis-cli") and shutil.which("redis-benchmark")),
                           reason="redis-cli and redis-benchmark are not installed")
KIB = 1024


def request(*words):
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


def bulk(data):
    return b"$%d\r\n%s\r\n" % (len(data), data)


def talk(client, asked, answer):
    client.send(asked)
    got = client.unread
    while len(got) < len(answer):
        more = client.socket.recv(65536)
        assert more, f"the connection ended after {got[-200:]!r}"
        got += more
    client.unread = b""
    assert got == answer


@pytest.mark.parametrize("asked, answer", [
    ((b"PING",), b"+PONG\r\n"), ((b"pInG",), b"+PONG\r\n"), ((b"PING", b"a b"), bulk(b"a b")),
    ((b"ECHO", b"\r\n\0\xff"), bulk(b"\r\n\0\xff")), ((b"GET", b"none"), b"$-1\r\n"),
    ((b"SET", b"key", b"value"), b"+OK\r\n"), ((b"DEL", b"none"), b":0\r\n"),
    ((b"PING", b"a", b"b"), b"-ERR wrong number of arguments for 'PING'\r\n"),
    ((b"ECHO",), b"-ERR wrong number of arguments for 'ECHO'\r\n"),
    ((b"GET",), b"-ERR wrong number of arguments for 'GET'\r\n"),
    ((b"SET", b"key"), b"-ERR wrong number of arguments for 'SET'\r\n"),
    ((b"SET", b"key", b"v", b"EX", b"1"), b"-ERR wrong number of arguments for 'SET'\r\n"),
    ((b"DEL",), b"-ERR wrong number of arguments for 'DEL'\r\n"),
    ((b"FLUSHALL",), b"-ERR unknown command 'FLUSHALL'\r\n"),
    ((b"",), b"-ERR unknown command ''\r\n"),
    ((b"x\r\n+OK" + 1000 * b"x",), b"-ERR unknown command 'x  +OK" + 122 * b"x" + b"'\r\n")])
def test_each_command_answers_as_redis_does(start, connect, asked, answer):
    # Danger: an answer too many or too few shifts all that follow; a name splits an answer in two.
    talk(connect(start("keyvalue")), request(*asked) + request(b"PING"), answer + b"+PONG\r\n")


def test_a_value_is_visible_to_all_clients_until_it_is_deleted(start, connect):
    app = start("keyvalue")
    writer, reader = connect(app), connect(app)
    long = bytes(range(256)) * 1000
    for key, value in (b"", b"1"), (b"a", b""), (b"a\r\n", b"$-1\r\n"), (b"a", long), (b"b", b"2"):
        talk(writer, request(b"SET", key, value), b"+OK\r\n")
        talk(reader, request(b"GET", key), bulk(value))
    talk(reader, request(b"DEL", b"a", b"none", b"b", b"a"), b":2\r\n")
    talk(writer, request(b"GET", b"a") + request(b"GET", b""), b"$-1\r\n" + bulk(b"1"))


def test_a_user_types_inline_commands(start, connect):
    # Danger: a user cannot inspect a server that only programs can talk to.
    client = connect(start("keyvalue"))
    talk(client, b'set greeting "good day"\r\n\r\nget greeting\nPING\r\n',
         b"+OK\r\n$8\r\ngood day\r\n+PONG\r\n")


@pytest.mark.parametrize("sent, said", [
    (b"*1\r\n:1\r\n", b"-ERR Protocol error: expected '$'\r\n"),
    (b'get "a\r\n', b"-ERR Protocol error: unbalanced quotes in request\r\n"),
    (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1073741824\r\n",
     b"-ERR Protocol error: the request is too long\r\n"),
    (b"POST / HTTP/1.1\r\nHost: x\r\n\r\nSET k v\r\n", b"")])
def test_invalid_input_ends_its_connection_with_an_error(start, connect, sent, said):
    # Danger: a part of the input is executed, or its sender waits without an error.
    app = start("keyvalue")
    fine, wrong = connect(app), connect(app)
    wrong.send(request(b"PING") + sent + request(b"SET", b"k", b"v"))
    assert wrong.rest() == b"+PONG\r\n" + said
    talk(fine, request(b"GET", b"k"), b"$-1\r\n")


def test_the_memory_for_values_is_bounded_and_given_back(start, connect):
    # Danger: a client fills the memory of the machine; or a value that was deleted or replaced by
    # a shorter one counts for ever, or is never freed.
    app = start("keyvalue", "--memory", str(4096 * KIB))
    client = connect(app)
    large, before = bytes(512 * KIB), app.status("VmRSS")
    full = b"-OOM there is no room: DEL something\r\n"
    for round_ in range(20):
        names = [b"%d-%d" % (round_, i) for i in range(7)]
        for name in names:
            talk(client, request(b"SET", name, large), b"+OK\r\n")
        talk(client, request(b"SET", b"more", large), full)
        talk(client, request(b"GET", b"more"), b"$-1\r\n")
        talk(client, request(b"SET", names[0], 2 * large[:-100]), full)
        talk(client, request(b"GET", names[0]), bulk(large))
        for name in names[:4]:
            talk(client, request(b"SET", name, b"short"), b"+OK\r\n")
        talk(client, request(b"DEL", *names[4:]), b":3\r\n")
    many = b"".join(request(b"SET", b"%d" % i, b"") for i in range(40_000))
    client.send(many)
    answers = [client.line() for _ in range(40_000)]
    kept = answers.count("+OK")
    assert 20_000 < kept < 26_000 and answers[kept:] == [full.decode().strip()] * (40_000 - kept)
    if not SANITIZED:
        assert app.status("VmRSS") - before < 8192  # KiB: those 4 MiB, and the burst's buffers


@TOOLS
def test_redis_cli_is_served(start):
    app = start("keyvalue")

    def cli(*words):
        return subprocess.run(["redis-cli", "-p", str(app.port), *words], stdout=subprocess.PIPE,
                              timeout=ENOUGH, check=True, text=True).stdout.strip()

    assert cli("PING") == "PONG"
    assert cli("SET", "key", "a b") == "OK"
    assert cli("GET", "key") == "a b"
    assert cli("DEL", "key") == "1"
    assert cli("INCR", "key") == "ERR unknown command 'INCR'"


@TOOLS
@pytest.mark.parametrize("depth", [1, 16, 64, 200])
def test_redis_benchmark_is_served(start, connect, depth):
    # Danger: it asks CONFIG first, which is unknown here; and it ends at an error.
    app = start("keyvalue")
    done = subprocess.run(
        ["redis-benchmark", "-p", str(app.port), "-t", "ping,set,get", "-P", str(depth), "-n",
         "20000", "-c", "20", "--csv"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        timeout=ENOUGH, text=True, check=False)
    assert done.returncode == 0, done.stderr
    names = [row.partition(",")[0].strip('"') for row in done.stdout.splitlines()[1:]]
    assert names == ["PING_INLINE", "PING_MBULK", "SET", "GET"]
    talk(connect(app), request(b"GET", b"key:__rand_int__"), bulk(b"VXK"))
