"""The README shows a session in a terminal: what is typed there is typed here, and must show the
same, but for the port and the time. Danger: an example that nobody has tried since."""
import os
import re
import subprocess
from pathlib import Path

import pexpect
import pytest
from app import ENOUGH

README = Path(__file__).parents[2] / "README.md"
SESSION = re.compile(r"<!-- a session with \./run -->\n```console\n(.*?)```", re.S)
TYPED = ("gettime", "what time is it")


def same(shown):
    """Without what differs from run to run."""
    shown = re.sub(r"\d{4}(-\d\d){2} \d\d(:\d\d){2}", "TIME", shown.replace("\r", ""))
    return [line for line in shown.splitlines() if line]


@pytest.fixture
def front(start):
    return start("telnet", "--upstream", start("time").address)


def telnet(front):
    """What a terminal shows of the conversation that the README shows."""
    child = pexpect.spawn("telnet", ["127.0.0.1", str(front.port)], timeout=ENOUGH, echo=True,
                          env={"PATH": "/usr/bin:/bin", "TERM": "dumb", "HOME": "/nonexistent"},
                          encoding="latin-1")
    shown = ""

    def until(words):
        nonlocal shown
        child.expect(words)
        shown += child.before + child.after
    until(r"Escape character is '\^\]'\.\r\n")
    for line in TYPED:
        child.sendline(line)
        until(r"(:\d\d|wrong)\r\n")
    child.sendcontrol("]")
    until("telnet> ")
    child.sendline("quit")
    child.expect(pexpect.EOF)
    return shown + child.before


def test_the_session_in_the_readme_is_what_a_user_sees(front):
    session = SESSION.search(README.read_text("utf-8"))
    assert session, "README.md shows no session"
    commands = re.split(r"^\$ (.*)\n", session[1], flags=re.M)[1:]
    assert len(commands) == 4
    for command, shown in zip(commands[::2], commands[1::2]):
        if command == "telnet 127.0.0.1 9999":
            assert same(telnet(front)) == same(shown)
            continue
        assert "127.0.0.1 9999" in command
        said = subprocess.run(["bash", "-c", command.replace("9999", str(front.port))], text=True,
                              stdout=subprocess.PIPE, timeout=ENOUGH, check=True, env=os.environ)
        assert same(said.stdout) == same(shown)
