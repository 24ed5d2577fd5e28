import http.client
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.backends.faults import CUT, HUNG, TOO_MANY, Call, Fault, at, both, share
from tests.backends.proxy import Proxy
from tests.backends.tape import Tape


class Echo(BaseHTTPRequestHandler):
    """Says the body again, and how many requests it has had."""

    protocol_version = "HTTP/1.1"
    count = 0

    def do_POST(self) -> None:
        Echo.count += 1
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"asked": asked, "count": Echo.count}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def upstream() -> Iterator[str]:
    Echo.count = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def ask(url: str, path: str = "/ask", timeout: float = 20, **body: object) -> tuple[int, dict[str, object], str | None]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout)
    try:
        connection.request("POST", path, json.dumps(body))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()), answer.getheader("Retry-After")
    finally:
        connection.close()


def test_without_a_plan_answers_pass_unchanged(upstream: str) -> None:
    with Proxy(upstream) as proxy:
        assert ask(proxy.url, n=1) == (200, {"asked": {"n": 1}, "count": 1}, None)
        assert [(seen.call.kind, seen.status) for seen in proxy.calls] == [("/ask", 200)]


def test_a_fault_before_the_server_is_never_seen_by_it(upstream: str) -> None:
    with Proxy(upstream, plan=at(Fault(429, retry_after="3"), **{"/ask": (0,)})) as proxy:
        status, _, wait = ask(proxy.url)
        assert (status, wait) == (429, "3")
        assert ask(proxy.url)[1]["count"] == 1


def test_a_late_fault_loses_the_answer_alone(upstream: str) -> None:
    with Proxy(upstream, plan=at(Fault(late=True), **{"/ask": (0,)})) as proxy:
        with pytest.raises(http.client.RemoteDisconnected):
            ask(proxy.url)
        assert ask(proxy.url)[1]["count"] == 2


def test_hung_requests_end_with_the_proxy(upstream: str) -> None:
    with Proxy(upstream, plan=lambda call: HUNG) as proxy, pytest.raises(TimeoutError):
        ask(proxy.url, timeout=0.2)
    assert Echo.count == 0


def test_shares_of_faults_depend_on_seed_and_number() -> None:
    plan = share(0.2, (CUT, TOO_MANY), ("sampling",), seed=1)
    faults = [plan(Call("sampling", number, "/", b"")) for number in range(1000)]
    assert faults == [plan(Call("sampling", number, "/", b"")) for number in range(1000)]
    assert 150 < sum(fault is not None for fault in faults) < 250
    assert {fault for fault in faults if fault} == {CUT, TOO_MANY}
    assert both(plan, at(HUNG, training=(2,)))(Call("training", 2, "/", b"")) == HUNG
    assert plan(Call("training", 2, "/", b"")) is None


def test_recorded_answers_are_replayed_without_the_server(upstream: str, tmp_path: Path) -> None:
    tape = Tape()
    with Proxy(upstream, record=tape) as proxy:
        first, second = ask(proxy.url, n=1, seq_id=1), ask(proxy.url, n=2, seq_id=2)
    tape.save(tmp_path / "tape.json")
    with Proxy("http://127.0.0.1:1", replay=Tape.load(tmp_path / "tape.json")) as proxy:
        assert ask(proxy.url, n=2, seq_id=7) == second
        assert ask(proxy.url, n=1, seq_id=8) == first
