"""Python's `websockets` as a peer of ours, with permessage-deflate in every shape.

peer.py client URL   talks to our echo server
peer.py server       serves an echo of each shape, and says where
"""

import asyncio
import json
import os
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)

SHAPES = [(takeover, bits) for takeover in (True, False) for bits in range(9, 16)]
MIB = 1 << 20


def options(takeover, bits):
    return {
        "server_no_context_takeover": not takeover,
        "client_no_context_takeover": not takeover,
        "server_max_window_bits": bits,
        "client_max_window_bits": bits,
    }


def check(ws, takeover, bits):
    """What was agreed, whichever side we are."""
    (deflate,) = ws.protocol.extensions
    agreed = (
        deflate.remote_no_context_takeover,
        deflate.local_no_context_takeover,
        deflate.remote_max_window_bits,
        deflate.local_max_window_bits,
    )
    assert agreed == (not takeover, not takeover, bits, bits), agreed


def text(size):
    items = [
        {"id": i, "name": f"user {i % 97}", "price": i * 37 % 1000, "tags": ["a", "b", f"tag {i % 13}"]}
        for i in range(size // 50)
    ]
    return json.dumps(items)[:size]


def messages():
    return [
        "", b"", "x", b"\xff", "é" * 62 + "x", os.urandom(125), text(65536), os.urandom(65536),
        os.urandom(MIB), text(MIB),
    ]


async def client(url, takeover, bits):
    extensions = [ClientPerMessageDeflateFactory(**options(takeover, bits))]
    count = 0
    async with connect(url, extensions=extensions, compression=None, max_size=4 * MIB) as ws:
        check(ws, takeover, bits)
        for message in messages():
            for _ in range(2):
                await ws.send(message)
                assert await ws.recv() == message, f"{len(message)} did not come back"
                count += 1
        parts = [text(5000), "", "z" * 300, ""]
        await ws.send(parts)
        assert await ws.recv() == "".join(parts), "the fragments did not come back"
    assert ws.close_code == 1000, ws.close_code
    return count + 1


async def clients(url):
    count = 0
    for takeover, bits in SHAPES:
        try:
            count += await client(url, takeover, bits)
        except BaseException:
            print(f"takeover {takeover}, {bits} bits:", file=sys.stderr)
            raise
    print(f"{len(SHAPES)} connections, {count} messages: all came back")


async def servers():
    for takeover, bits in SHAPES:

        async def echo(ws, takeover=takeover, bits=bits):
            check(ws, takeover, bits)
            async for message in ws:
                await ws.send(message)

        factory = ServerPerMessageDeflateFactory(**options(takeover, bits))
        server = await serve(
            echo, "127.0.0.1", 0, extensions=[factory], compression=None, max_size=4 * MIB
        )
        port = server.sockets[0].getsockname()[1]
        print(f"ready {str(takeover).lower()} {bits} ws://127.0.0.1:{port}", flush=True)
    await asyncio.Future()


asyncio.run(servers() if sys.argv[1] == "server" else clients(sys.argv[2]))
