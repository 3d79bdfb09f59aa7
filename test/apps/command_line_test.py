"""What the apps say on their command lines: where they listen, what is wrong, their exit codes.
Scripts and service managers read exactly this."""
import re
import signal
import socket
import subprocess

import pytest
from app import SLOWER, program
from client import hours_ahead

APPS = ["echo", "time", "telnet", "cached_time", "keyvalue", "login", "redis_proxy", "chat"]


def run(name, *options):
    """To its end; a server that starts instead is ended."""
    try:
        return subprocess.run([program(name), *options], stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=5 * SLOWER,
                              check=False)
    except subprocess.TimeoutExpired as started:
        pytest.fail(f"{options} was taken, and it serves: {started.stdout}")


@pytest.mark.parametrize("name", APPS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sigint_and_sigterm_end_with_0(start, name, number):
    # Danger: a service manager takes a normal stop for a crash, and starts the service again. It
    # may come at any time after the line that says "ready", hence also at once.
    app = start(name)
    app.signal(number)
    assert app.wait() == 0
    assert app.process.stdout.read() == b"", "only one line was promised"


@pytest.mark.parametrize("name", APPS)
def test_a_port_in_use_is_one_line_and_exit_code_1(start, name):
    # Danger: an exception's text, a core dump, or a server that listens on nothing.
    taken = start("echo")
    done = run(name, "--listen", taken.address)
    assert done.returncode == 1
    assert done.stderr == f"cannot listen on {taken.address}: Address already in use\n"
    assert done.stdout == ""


@pytest.mark.parametrize("where, why", [
    ("192.0.2.1:9", "Cannot assign requested address"),
    ("no.such.host.invalid:9", ".+"),
    ("unix:/no/such/folder/socket", "No such file or directory"),
    ("unix:/tmp", "Address already in use")])
def test_an_address_that_cannot_be_listened_on_is_named(where, why):
    # Danger: "bind: error 99" does not say which of twenty servers failed.
    done = run("echo", "--listen", where)
    assert done.returncode == 1
    assert re.fullmatch(rf"cannot listen on {re.escape(where)}: {why}\n", done.stderr)


@pytest.mark.parametrize("name, options", [
    ("echo", ["--no-such-option"]), ("echo", ["and a word"]), ("echo", ["--listen"]),
    ("echo", ["--protocol", "morse"]), ("echo", ["--listen", "nonsense"]),
    ("echo", ["--listen", "127.0.0.1:65536"]), ("echo", ["--listen", ""]),
    ("echo", ["--listen", "unix:"]), ("echo", ["--listen", "unix:/" + 108 * "x"]),
    ("time", ["--listen", "127.0.0.1:-1"]), ("time", ["--protocol", "line"]),
    ("keyvalue", ["--memory", "much"]), ("keyvalue", ["--memory", "-1"]),
    ("telnet", ["--upstream", "127.0.0.1"]), ("telnet", ["--connections", "0"]),
    ("telnet", ["--connections", "three"]), ("telnet", ["--timeout", "5"]),
    ("telnet", ["--timeout", "soon"]), ("telnet", ["--timeout", "-1s"]),
    ("telnet", ["--timeout", "0s"]), ("telnet", ["--timeout", "9999999999s"])])
def test_wrong_usage_is_explained_and_ends_with_2(name, options):
    # Danger: a typing error in a unit file starts a server that does something else.
    done = run(name, *options)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()[0]) > 10 and "--help" in done.stderr


@pytest.mark.parametrize("name", APPS)
def test_help_and_version_are_printed_and_end_with_0(name):
    # Danger: --help starts the server.
    helped, version = run(name, "--help"), run(name, "--version")
    assert (helped.returncode, helped.stderr) == (0, "")
    assert "--listen ADDRESS" in helped.stdout and "--version" in helped.stdout
    assert (version.returncode, version.stderr) == (0, "")
    assert re.fullmatch(rf"{name} of ice \d+\.\d+\.\d+\n", version.stdout)


def test_ipv6_is_an_address_like_any_other(start, connect):
    # Danger: brackets are part of the host, or the port is what follows the first colon.
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"no IPv6 on the loopback here: {error}")
    app = start("time", listen="[::1]:0")
    assert re.fullmatch(r"\[::1\]:\d+", app.address)
    client = connect(app)
    client.send(b"gettime\r\n")
    assert hours_ahead(client.line()) == 0


def test_a_unix_socket_serves_and_is_gone_at_the_end(start, connect, tmp_path):
    # Danger: the file stays, and looks like that of a running server.
    path = tmp_path / "time"
    app = start("time", listen=f"unix:{path}")
    assert app.address == f"unix:{path}" and path.is_socket()
    client = connect(app)
    client.send(b"gettime\r\n")
    assert hours_ahead(client.line()) == 0
    client.close()
    assert app.terminate() == 0
    assert not path.exists()


def test_the_upstream_may_be_a_unix_socket(start, connect, tmp_path):
    # Danger: the two sides understand addresses differently.
    upstream = start("time", listen=f"unix:{tmp_path}/time", zone="EAST-5")
    client = connect(start("telnet", "--upstream", upstream.address))
    client.send(b"gettime\r\n")
    assert hours_ahead(client.line()) == 5


def test_a_unix_socket_left_by_a_killed_server_is_replaced(start, connect, tmp_path):
    # Danger: after a crash somebody has to delete a file by hand.
    path = tmp_path / "echo"
    start("echo", listen=f"unix:{path}").kill()
    assert path.is_socket()
    client = connect(start("echo", listen=f"unix:{path}"))
    client.send(b"here")
    assert client.socket.recv(100) == b"here"


@pytest.mark.parametrize("what", ["a living server", "a file", "a link to a file"])
def test_only_the_socket_of_a_dead_server_is_replaced(start, connect, tmp_path, what):
    # Danger: the second server takes the clients of the first one, or deletes another file.
    path = tmp_path / "there"
    alive = start("echo", listen=f"unix:{path}") if what == "a living server" else None
    if what != "a living server":
        (tmp_path / "file").write_text("precious")
        path.symlink_to("file") if "link" in what else path.write_text("precious")
    done = run("echo", "--listen", f"unix:{path}")
    assert done.returncode == 1
    assert done.stderr == f"cannot listen on unix:{path}: Address already in use\n"
    if alive:
        client = connect(alive)
        client.send(b"here")
        assert client.socket.recv(100) == b"here"
    else:
        assert path.read_text() == "precious"
