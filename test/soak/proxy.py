#!/usr/bin/env python3
"""A proxy that harms bytes as networks and crashes do: proxy.py UPSTREAM (a unix socket).
It prints where it listens; each line that it reads is the fault from then on. The same seed of
chance in each run."""
import asyncio
import contextlib
import random
import socket
import struct
import sys

TOO_LATE = 0.4  # seconds: beyond the timeout of who asks


class Ended(Exception):
    """The connection has had its fault: nothing more is carried in this direction."""


class Carrier:
    """The two directions of one connection."""

    def __init__(self, proxy, client, upstream):
        self.proxy, self.client, self.upstream = proxy, client, upstream

    async def carry(self, reader, writer):
        with contextlib.suppress(OSError):
            with contextlib.suppress(Ended):
                while chunk := await reader.read(65536):
                    await getattr(self, self.proxy.fault)(chunk, writer)
            while await reader.read(65536):
                pass
            writer.write_eof()

    async def send(self, chunk, writer):
        writer.write(chunk)
        await writer.drain()

    def unlucky(self, chance):
        return self.proxy.chance.random() < chance

    def part(self, chunk):
        return chunk[:self.proxy.chance.randrange(len(chunk) + 1)]

    # -- the faults: what happens to a chunk

    async def none(self, chunk, writer):
        await self.send(chunk, writer)

    async def delay(self, chunk, writer):
        late = TOO_LATE if self.unlucky(0.05) else self.proxy.chance.random() * 0.02
        await asyncio.sleep(late)
        await self.send(chunk, writer)

    async def slice(self, chunk, writer):
        for at in range(len(chunk)):
            await self.send(chunk[at:at + 1], writer)
            await asyncio.sleep(0)

    async def reset(self, chunk, writer):
        if not self.unlucky(0.01):
            return await self.send(chunk, writer)
        await self.send(self.part(chunk), writer)
        for end in self.client, self.upstream:
            if (sock := end.get_extra_info("socket")).family == socket.AF_INET:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.transport.abort()
        raise Ended

    async def half_close(self, chunk, writer):
        if not self.unlucky(0.01):
            return await self.send(chunk, writer)
        await self.send(self.part(chunk), writer)
        self.client.write_eof()  # and what the client still says is heard
        raise Ended

    async def silence(self, chunk, writer):
        if not self.unlucky(0.01):
            return await self.send(chunk, writer)
        await self.send(self.part(chunk), writer)
        raise Ended

    async def corrupt(self, chunk, writer):
        if self.unlucky(0.02):
            at, bit = self.proxy.chance.randrange(len(chunk)), self.proxy.chance.randrange(8)
            chunk = chunk[:at] + bytes([chunk[at] ^ 1 << bit]) + chunk[at + 1:]
        await self.send(chunk, writer)


class Proxy:
    def __init__(self, upstream):
        self.upstream, self.fault, self.chance = upstream, "none", random.Random(1)

    async def accept(self, reader, writer):
        upstream = None
        with contextlib.suppress(OSError):
            back, upstream = await asyncio.open_unix_connection(self.upstream)
            carrier = Carrier(self, writer, upstream)
            await asyncio.gather(carrier.carry(reader, upstream), carrier.carry(back, writer))
        for end in filter(None, (writer, upstream)):
            end.transport.abort()

    async def run(self):
        server = await asyncio.start_server(self.accept, "127.0.0.1", 0)
        print("listening on 127.0.0.1:%d" % server.sockets[0].getsockname()[1], flush=True)
        commands = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
        while line := await commands.readline():
            self.fault = line.decode().strip()


if __name__ == "__main__":
    asyncio.run(Proxy(sys.argv[1]).run())
