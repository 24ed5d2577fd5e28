"""HTTP/1.1 messages over asyncio streams, as much of it as a test proxy needs."""

import asyncio
import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

HOP_BY_HOP = frozenset(("connection", "keep-alive", "transfer-encoding", "content-length", "host"))


@dataclass(frozen=True, slots=True)
class Message:
    """A request or an answer: its first line, its headers and its whole body."""

    start: str
    headers: Sequence[tuple[str, str]]
    body: bytes = b""

    def header(self, name: str) -> str:
        """Return a header's value, or an empty text."""
        return next((value for key, value in self.headers if key.lower() == name), "")


async def read_message(reader: asyncio.StreamReader, to_end: bool = False) -> Message | None:
    """Return the next message; None where the stream ends before one begins.

    Args:
        to_end: whether a body without a length goes on to the end of the stream, as an answer's does.

    Raises:
        EOFError: the stream ends within it.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    start, *lines = head.decode("latin-1").strip().split("\r\n")
    headers = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    message = Message(start, headers)
    if message.header("transfer-encoding").lower() == "chunked":
        body = await _chunks(reader)
    elif message.header("content-length"):
        body = await reader.readexactly(int(message.header("content-length")))
    else:
        body = await reader.read() if to_end else b""
    return Message(start, headers, body)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    while (await reader.readuntil(b"\r\n")).strip():
        pass
    return b"".join(parts)


def written(message: Message, extra: Sequence[tuple[str, str]] = ()) -> bytes:
    """Return a message as it goes over the wire."""
    headers = [(name, value) for name, value in message.headers if name.lower() not in HOP_BY_HOP]
    headers += [*extra, ("Content-Length", str(len(message.body)))]
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"{message.start}\r\n{lines}\r\n".encode("latin-1") + message.body


def plain(status: int, content: object, headers: Sequence[tuple[str, str]] = ()) -> Message:
    """Return an answer in JSON."""
    start = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"
    return Message(start, [("Content-Type", "application/json"), *headers], json.dumps(content).encode())


async def request_to(server: str, request: Message) -> Message:
    """Return a server's answer to a request.

    Raises:
        OSError: the server can't be reached.
        EOFError: it ends the connection without an answer.
    """
    address = urlsplit(server)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(written(request, [("Host", address.netloc), ("Connection", "close")]))
        await writer.drain()
        answer = await read_message(reader, to_end=True)
        if answer is None:
            raise EOFError(f"{server} gave no answer")
        return answer
    finally:
        await ended(writer)


async def ended(writer: asyncio.StreamWriter) -> None:
    """Guarantee that a connection is at its end, whatever was still to be said."""
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
