"""Byte dialogues with the built apps: ICE_APPS says where they are, ICE_SANITIZED=1 that they are
slow. Servers listen on port 0 of the loopback; whatever a test starts is ended and reaped here."""
import contextlib

import pytest
from app import App
from client import Client
from upstream import Upstream


@pytest.fixture
def start(tmp_path):
    """Starts servers. Each must end with exit code 0 at SIGTERM unless the test killed it, and
    must not have written a raw byte into its log: so each test here is a test of that too."""
    started = []

    def begin(name, *options, **settings):
        started.append(App(tmp_path / f"stderr.{len(started)}", name, *options, **settings))
        return started[-1]

    yield begin
    wrong = [line for app in reversed(started) for line in app.close()]
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def connect(start):  # named, so that clients leave before the servers are ended
    """Connects clients to servers."""
    with contextlib.ExitStack() as clients:
        yield lambda app, **buffers: clients.enter_context(
            contextlib.closing(Client(app.address, **buffers)))


@pytest.fixture
def make_upstream(start):
    """Makes upstreams that misbehave; gone before the fronts that use them."""
    with contextlib.ExitStack() as upstreams:
        yield lambda *how, **settings: upstreams.enter_context(
            contextlib.closing(Upstream(*how, **settings)))
