"""A proxy that stands between a client and an HTTP server: it delays, fails, cuts, hangs, records and replays answers.

python -m tests.backends.proxy --upstream http://127.0.0.1:10610 --port 10611 --delay 0.2 [--record FILE | --replay FILE]
"""

import argparse
import asyncio
import contextlib
import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from tests.backends.faults import Call, Fault, Plan, none
from tests.backends.messages import Message, ended, plain, read_message, request_to, written
from tests.backends.tape import Tape

LARGEST_HEAD = 1 << 20


@dataclass(slots=True)
class Answered:
    """One request with what became of it: the status that the client got (0: none), and the fault."""

    call: Call
    status: int = 0
    fault: Fault | None = None


@dataclass(slots=True)
class Proxy:
    """A running proxy, as a context manager; it lives in a thread of its own.

    Args:
        upstream: the server's address.
        kind_of: the kind of a request, from its path.
        plan: the fault of a call; may be set anew while the proxy runs.
        delay: seconds that every answer is held back.
        record: takes every answer.
        replay: answers instead of the server.
        port: 0 is a free one.
    """

    upstream: str
    kind_of: Callable[[str], str] = lambda path: path
    plan: Plan = none
    delay: float = 0.0
    record: Tape | None = None
    replay: Tape | None = None
    port: int = 0
    calls: list[Answered] = field(default_factory=list)
    _counts: Counter[str] = field(default_factory=Counter)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _thread: threading.Thread | None = None
    _stop: asyncio.Event | None = None

    @property
    def url(self) -> str:
        """The address that the client is given."""
        return f"http://127.0.0.1:{self.port}"

    def of_kind(self, kind: str) -> list[Answered]:
        """Return the requests of one kind that came in so far."""
        return [answered for answered in list(self.calls) if answered.call.kind == kind]

    def __enter__(self) -> "Proxy":
        listening = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(listening),))
        self._thread.start()
        listening.wait()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._thread is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    async def _serve(self, listening: threading.Event) -> None:
        self._stop = asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._client(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(accept, "127.0.0.1", self.port, limit=LARGEST_HEAD, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        listening.set()
        await self._stop.wait()
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until it ends."""
        with contextlib.suppress(OSError, EOFError):
            try:
                while (request := await read_message(reader)) is not None:
                    answer = await self._answer(request)
                    if answer is None:
                        break
                    writer.write(written(answer))
                    await writer.drain()
            finally:
                await ended(writer)

    async def _answer(self, request: Message) -> Message | None:
        """Return the answer to a request, None where the connection shall be cut."""
        method, path, _ = request.start.split(" ", 2)
        kind = self.kind_of(urlsplit(path).path)
        call = Call(kind, self._counts[kind], path, request.body)
        self._counts[kind] += 1
        fault = self.plan(call)
        self.calls.append(seen := Answered(call, fault=fault))
        answer = None
        if fault is None or fault.late:
            answer = await self._from_server(method, path, request)
        if self.delay:
            await asyncio.sleep(self.delay)
        if fault is not None:
            answer = await _faulty(fault)
        seen.status = int(answer.start.split(" ", 2)[1]) if answer else 0
        return answer

    async def _from_server(self, method: str, path: str, request: Message) -> Message:
        if self.replay is not None:
            answer = self.replay.find(method, path, request.body)
        else:
            answer = await request_to(self.upstream, request)
        if self.record is not None:
            self.record.add(method, path, request.body, answer)
        return answer


async def _faulty(fault: Fault) -> Message | None:
    if fault.status:
        extra = [("Retry-After", fault.retry_after)] if fault.retry_after is not None else []
        return plain(fault.status, {"detail": f"the proxy answers {fault.status}"}, extra)
    if fault.hang:
        await asyncio.Event().wait()
    return None


def main() -> None:
    """Run a proxy until it is ended; what was recorded is written on SIGTERM and Ctrl-C."""
    import signal

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upstream", default="")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--record", type=Path)
    parser.add_argument("--replay", type=Path)
    given = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    record = Tape() if given.record else None
    replay = Tape.load(given.replay) if given.replay else None
    with Proxy(given.upstream, delay=given.delay, record=record, replay=replay, port=given.port) as proxy:
        print(json.dumps({"url": proxy.url}), flush=True)
        while not ended.wait(0.2):
            pass
    if record is not None:
        record.save(given.record)


if __name__ == "__main__":
    main()
