"""The embedded PostgreSQL by TCP, for pods, which see no socket of this machine's file system.

``python -m tests.e2e.stack_database PORT SOCKET`` hands each connection to the port on loopback on
to the socket, as PgBouncer does between pods and a database.
"""

import asyncio
import sys
from contextlib import suppress

_CHUNK = 1 << 16


def main() -> None:
    """Serve until the process is ended."""
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2]))


async def _serve(port: int, socket: str) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_unix_connection(socket)
        await asyncio.gather(_pass_on(reader, forth), _pass_on(back, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    await server.serve_forever()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    main()
