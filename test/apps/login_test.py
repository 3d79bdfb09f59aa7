"""`login` with real telnet clients on a terminal: the password stays hidden, the lines before and
after it do not, and the server learns the terminal and its size, and each new size."""
import re
import shutil
import warnings

import pexpect
import pytest
from app import ENOUGH

DO, WILL = 253, 251
TERM = "xterm-256color"
COLUMNS, ROWS = 100, 30

# name: its program, arguments before the host, its terminal type, whether it tells a new size
CLIENTS = {
    "inetutils-telnet": ("inetutils-telnet", (), TERM.upper(), True),
    "telnet-ssl": ("telnet-ssl", ("-z", "nossl"), TERM, True),
    "plink": ("plink", ("-telnet", "-P"), "XTERM", True),
    "busybox": ("busybox", ("telnet",), TERM, False)}


@pytest.fixture(params=[(), ("--binary",)], ids=["nvt", "binary"])
def server(start, request):
    return start("login", *request.param)


@pytest.fixture(params=CLIENTS)
def user(server, request, tmp_path):
    """A client on a terminal, connected; `terminal` and `tells_size` are of the table."""
    program, options, terminal, tells_size = CLIENTS[request.param]
    path = shutil.which(program)
    if not path:  # Debian's inetutils-telnet and telnet-ssl exclude each other
        pytest.skip(f"{program} is not installed")
    where = ["127.0.0.1", str(server.port)]
    child = pexpect.spawn(path, [*options, *(reversed(where) if "-P" in options else where)],
                          timeout=ENOUGH, dimensions=(ROWS, COLUMNS), encoding="latin-1",
                          env={"PATH": "/usr/bin:/bin", "TERM": TERM, "HOME": str(tmp_path)})
    child.terminal, child.tells_size = terminal, tells_size
    yield child
    child.close(force=True)


def press(user, words):
    """Types a line and the Enter key."""
    user.send(words + "\r")


def log_in(user, password):
    """What the terminal shows from the password prompt to the answer."""
    user.expect_exact("name: ")
    press(user, "ada")
    user.expect_exact("password: ")
    assert "ada" in user.before  # what is typed here is shown
    press(user, password)
    user.expect_exact(["welcome, ada", "wrong name or password"])
    return user.before, user.after


def asked(user, words):
    """What the terminal shows of a line, and then the answer: columns, rows, terminal type."""
    press(user, words)
    user.expect(r"(\d+)x(\d+) '([^']*)'")
    columns, rows, terminal = user.match.groups()
    return user.before, (int(columns), int(rows), terminal)


def test_a_user_logs_in_unseen_and_the_server_knows_the_terminal(user):
    shown, answer = log_in(user, "lovelace")
    assert answer == "welcome, ada"
    assert "lovelace" not in shown and "\n" in shown  # the cursor does not stay behind the prompt
    shown, answer = asked(user, "hello")
    assert "hello" in shown
    assert answer == (COLUMNS, ROWS, user.terminal)

    user.setwinsize(40, 132)
    for _ in range(100 if user.tells_size else 0):
        # The signal of the new size and the line race each other within the client.
        _, answer = asked(user, "again")
        if answer[:2] == (132, 40):
            break
    assert answer[:2] == ((132, 40) if user.tells_size else (COLUMNS, ROWS))
    press(user, "quit")
    user.expect(pexpect.EOF)
    assert "\xff" not in user.before


def test_a_wrong_password_is_not_shown_either(user):
    shown, answer = log_in(user, "byron")
    assert answer == "wrong name or password"
    assert "byron" not in shown
    user.expect(pexpect.EOF)


def test_a_client_that_refuses_all_options_reads_only_text(server):
    # Danger: a byte of the negotiation in what a script matches; or the login waits for an answer.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.13 has none
        telnetlib = pytest.importorskip("telnetlib")
    with telnetlib.Telnet("127.0.0.1", server.port, ENOUGH) as client:
        for text, line in (b"name: ", b"ada"), (b"password: ", b"lovelace"):
            assert client.read_until(text, ENOUGH) == text
            client.write(line + b"\r\n")
        assert client.read_until(b"\r\n", ENOUGH) == b"welcome, ada\r\n"
        client.write(b"hello\r\n")
        assert client.read_until(b"\r\n", ENOUGH) == b"0x0 ''\r\n"


def test_a_client_without_options_can_log_in(server, connect):
    # nc answers nothing.
    client = connect(server)
    client.send(b"ada\nlovelace\nhello\nquit\n")
    asks = {(DO, 24), (DO, 31), (WILL, 42), (WILL, 1)}
    if "--binary" in server.process.args:
        asks |= {(WILL, 0), (DO, 0)}
    heard = client.rest()
    commands = re.findall(rb"\xff([\xfb-\xfe])(.)", heard, re.S)
    assert {(verb[0], option[0]) for verb, option in commands} == asks
    text = re.sub(rb"\xff[\xfb-\xfe].", b"", heard, flags=re.S)
    assert text == b"name: password: welcome, ada\r\n0x0 ''\r\n"
