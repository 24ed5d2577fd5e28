"""Ids of models made from a saved state: the client forms one by itself, TuFT gives the model another."""

import re
from typing import Any

import zstandard
from starlette.datastructures import Headers
from starlette.types import Scope
from tinker.proto.tinker_public_pb2 import ForwardBackwardRequest

CLIENT_ID = re.compile(r"[\w-]+:train:\d+")


class ModelIds:
    """TuFT's ids of models, by the client's."""

    def __init__(self) -> None:
        self._tuft: dict[str, str] = {}

    def add(self, session: str, number: int, tuft: str) -> None:
        """Note TuFT's id of a session's model."""
        self._tuft[f"{session}:train:{number}"] = tuft

    def translated(self, scope: Scope, body: bytes) -> tuple[Scope, bytes]:
        """Return a request with TuFT's ids in its path and its body."""
        if not self._tuft:
            return scope, body
        headers = Headers(scope=scope)
        path, stale = self._in_text(scope["path"]), {b"content-length"}
        if "json" in headers.get("content-type", ""):
            body = self._in_text(body.decode()).encode()
        elif path.endswith("/forward_backward"):
            body = self._in_message(body, headers.get("content-encoding", ""))
            stale.add(b"content-encoding")
        kept = [(name, value) for name, value in scope["headers"] if name not in stale]
        return {**scope, "path": path, "raw_path": path.encode(), "headers": kept}, body

    def _in_text(self, text: str) -> str:
        return CLIENT_ID.sub(lambda found: self._tuft.get(found[0], found[0]), text)

    def _in_message(self, body: bytes, encoding: str) -> bytes:
        plain = zstandard.ZstdDecompressor().decompressobj().decompress(body) if encoding == "zstd" else body
        message: Any = ForwardBackwardRequest.FromString(plain)
        message.model_id = self._in_text(message.model_id)
        return bytes(message.SerializeToString())
