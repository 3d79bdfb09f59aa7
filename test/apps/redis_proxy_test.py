"""`redis_proxy` between Redis' own client and load generator and a real redis-server."""
import shutil
import subprocess

import pytest
import redis
from app import ENOUGH, until
from keyvalue_test import bulk, request, talk

pytestmark = pytest.mark.skipif(
    not (redis.installed() and shutil.which("redis-cli") and shutil.which("redis-benchmark")),
    reason="redis-server, redis-cli or redis-benchmark is not installed")


@pytest.fixture
def server(tmp_path):
    one = redis.Redis(tmp_path)
    yield one
    one.close()


@pytest.fixture
def proxy(start, server):
    return start("redis_proxy", "--upstream", server.address)


def test_redis_cli_is_served(proxy, server):
    def cli(*words):
        return subprocess.run(["redis-cli", "-p", str(proxy.port), *words], timeout=ENOUGH,
                              stdout=subprocess.PIPE, check=True, text=True).stdout.strip()

    assert cli("PING") == "PONG"
    assert cli("SET", "key", "a b") == "OK"
    assert cli("RPUSH", "list", "1", "2") == "2"
    assert cli("LRANGE", "list", "0", "-1") == "1\n2"
    assert server.ask("GET", "key") == bulk(b"a b")
    assert cli("select", "1") == "ERR no 'select' through a proxy"
    assert cli("NOSUCH").startswith("ERR unknown command 'NOSUCH'")


@pytest.mark.parametrize("depth", [1, 16, 64, 200])
def test_redis_benchmark_is_served(proxy, depth):
    done = subprocess.run(
        ["redis-benchmark", "-p", str(proxy.port), "-t", "ping,set,get,incr,lrange_100", "-P",
         str(depth), "-n", "20000", "-c", "20", "--csv"], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, timeout=ENOUGH, text=True, check=False)
    assert done.returncode == 0, done.stderr
    names = [row.partition(",")[0].strip('"') for row in done.stdout.splitlines()[1:]]
    assert names[:5] == ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR"]


def test_replies_come_in_the_order_of_the_requests_of_each_client(proxy, connect):
    # Danger: a reply goes to another client, or overtakes one of its own connection.
    clients = [connect(proxy) for _ in range(8)]
    for i, client in enumerate(clients):
        client.send(b"".join(request(b"ECHO", b"%d:%d" % (i, n)) for n in range(500)))
    for i, client in enumerate(clients):
        talk(client, b"", b"".join(bulk(b"%d:%d" % (i, n)) for n in range(500)))


@pytest.mark.parametrize("command", [b"MULTI", b"SUBSCRIBE", b"select", b"BlPop", b"QUIT"])
def test_what_needs_a_connection_of_its_own_is_refused(proxy, connect, command):
    # Danger: the connection that clients share is blocked, or is another database for all.
    client = connect(proxy)
    no = b"-ERR no '%s' through a proxy\r\n" % command
    talk(client, request(command, b"1") + request(b"PING"), no + b"+PONG\r\n")


def test_clients_are_told_that_redis_is_down_and_served_when_it_is_back(proxy, connect, server):
    client = connect(proxy)
    talk(client, request(b"SET", b"key", b"1"), b"+OK\r\n")
    server.kill()
    client.send(request(b"GET", b"key"))
    assert client.line().startswith("-ERR pool 'redis' of unix:")
    server.start()

    def is_back():
        client.send(request(b"PING"))
        return client.line() == "+PONG"
    until(is_back, "it is served again")


def test_a_client_that_leaves_takes_no_reply_of_another(proxy, connect):
    # Danger: the replies to what it has asked come to the next.
    for _ in range(20):
        gone, stays = connect(proxy), connect(proxy)
        gone.send(b"".join(request(b"ECHO", b"gone%d" % n) for n in range(200)))
        gone.close()
        talk(stays, request(b"ECHO", b"mine"), bulk(b"mine"))
