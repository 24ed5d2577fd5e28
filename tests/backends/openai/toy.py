"""An OpenAI-compatible server with a toy model: it answers by a rule, or as a test tells it to."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any

from tests.backends.openai.toy_batches import Batches

MODEL, KEY = "org/toy-model", "sk-toy-key-4711"
CONTEXT = 4096
Body = dict[str, Any]
Reply = tuple[int, Body | bytes]


def refusal(status: int, message: str, **more: Any) -> Reply:
    """An error in OpenAI's format."""
    return status, {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **more}}


def likeliest(text: str) -> list[str]:
    """The model's most likely answer to a text, as words."""
    return f" {len(text) % 7} animals, and {sum(map(ord, text)) % 11} plants\nend".split(" ")[1:]


@dataclass
class Toy:
    """A running server, as a context manager.

    Args:
        reply: returns the response to a request body; None stands for the model's own answer.
        names: the models in the list; None means that there is no list.
        key: the required API key; None means that no key is required.
    """

    reply: Callable[[Body], Reply | None] = lambda body: None
    names: tuple[str, ...] | None = (MODEL,)
    key: str | None = KEY
    asked: list[Body] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.batches = Batches(lambda path, body: self.answered(path, f"Bearer {self.key}", body))

    def __enter__(self) -> "Toy":
        toy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_GET(self) -> None:
                key = self.headers.get("Authorization")
                self._send(*(toy.batches.got(self.path) or toy.listed(self.path, key)))

            def do_POST(self) -> None:
                key, content = self.headers.get("Authorization"), self.rfile.read(int(self.headers["Content-Length"]))
                told = toy.batches.posted(self.path, content)
                self._send(*(told or toy.answered(self.path, key, json.loads(content))))

            def _send(self, status: int, body: Body | bytes) -> None:
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The address, without the API's path."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def listed(self, path: str, authorization: str | None) -> Reply:
        """Return the list of models."""
        if path != "/v1/models" or self.names is None:
            return 404, {"detail": "Not Found"}
        return self._barred(authorization) or (200, {"object": "list", "data": [{"id": name} for name in self.names]})

    def answered(self, path: str, authorization: str | None, body: Body) -> Reply:
        """Return the answer to a request."""
        self.asked.append(body)
        barred = self._barred(authorization)
        told = barred or self.reply(body)
        if told is not None:
            return told
        if body["model"] != MODEL:
            return refusal(404, f"The model `{body['model']}` does not exist", code="model_not_found")
        chat = path == "/v1/chat/completions"
        if not chat and path != "/v1/completions":
            return 404, {"detail": "Not Found"}
        text = body["messages"][-1]["content"] if chat else body["prompt"]
        return self._drawn(body, chat, text)

    def _barred(self, authorization: str | None) -> Reply | None:
        if self.key is None or authorization == f"Bearer {self.key}":
            return None
        return refusal(401, f"Incorrect API key provided: {(authorization or '')[7:]}.", code="invalid_api_key")

    def _drawn(self, body: Body, chat: bool, text: str) -> Reply:
        words = likeliest(text)
        if body.get("temperature", 1) > 0 and body.get("top_p", 1) > 0.5:
            Random(body.get("seed")).shuffle(words)
        most = body["max_tokens"]
        asked = len(str(body.get("messages", text)).split())
        if asked + most > CONTEXT:
            said = f"This model's maximum context length is {CONTEXT} tokens. However, your messages resulted in {asked} tokens."
            return refusal(400, said, code="context_length_exceeded")
        reason = "length" if len(words) >= most else "stop"
        answer = " ".join(words[:most])
        for stop in body.get("stop") or []:
            if stop in answer:
                answer, reason = answer[: answer.index(stop)], "stop"
        words_of: Body = {"message": {"role": "assistant", "content": answer}} if chat else {"text": answer}
        usage = {"prompt_tokens": asked, "completion_tokens": min(len(words) + 1, most)}
        return 200, {"choices": [{"index": 0, "finish_reason": reason, **words_of}], "usage": usage}
