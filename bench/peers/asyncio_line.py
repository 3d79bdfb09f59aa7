#!/usr/bin/env python3
"""A peer: an echo of lines on asyncio, or on uvloop with --uvloop. A Protocol, the fast idiom of
asyncio; each line is a message, and all answers to what has arrived are written at once."""
import argparse
import asyncio
import signal
import sys

LONGEST = 64 * 1024  # of a line: so memory is bounded


def answer(line):
    return line


class Lines(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport  # TCP_NODELAY is set already
        self.rest = b""

    def data_received(self, data):
        *lines, self.rest = (self.rest + data).split(b"\r\n")
        if lines:
            answers = [answer(line) for line in lines]
            answers.append(b"")
            self.transport.write(b"\r\n".join(answers))
        if len(self.rest) > LONGEST + 1:
            self.transport.abort()

    # While the peer does not read, we do not. At its end asyncio sends the rest and closes.
    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


async def serve(port):
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in signal.SIGINT, signal.SIGTERM:
        loop.add_signal_handler(number, ended.set)
    server = await loop.create_server(Lines, "127.0.0.1", port, backlog=4096)
    print("listening on 127.0.0.1:%d" % server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()
    server.close()  # not awaited: connections may be open


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("port", type=int, nargs="?", default=9999)
    arguments.add_argument("--uvloop", action="store_true")
    chosen = arguments.parse_args()
    make_loop = None
    if chosen.uvloop:
        try:
            import uvloop
        except ImportError:
            sys.exit("asyncio_line.py: uvloop is not installed")
        make_loop = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(serve(chosen.port))


main()
