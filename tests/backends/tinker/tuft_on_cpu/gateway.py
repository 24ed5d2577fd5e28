"""What the client of tinker 0.38 expects and TuFT 0.2.2 lacks, as an ASGI app in front of TuFT's."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from tinker.proto.tinker_public_pb2 import SampleResponse

from tests.backends.tinker.tuft_on_cpu.external_weights import ExternalWeights
from tests.backends.tinker.tuft_on_cpu.model_ids import ModelIds

API = "/api/v1"
UNSUPPORTED = ("target_prompt_logprobs", "prompt_alt_tokens_k", "topk_sample_logprobs")
PASSED_ON = ("x-api-key", "accept")


class Gateway:
    """Answers what TuFT does not, and passes on everything else.

    Args:
        app: TuFT's.
        checkpoints: its folder of checkpoints.
    """

    def __init__(self, app: ASGIApp, checkpoints: Path) -> None:
        self._app = app
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._tuft = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=None)
        self._models = ModelIds()
        self._external = ExternalWeights(checkpoints)
        self._last_n: dict[str, int] = {}
        routes = [
            *self._external.routes(),
            Route(f"{API}/sessions/{{session}}/finish", _accept, methods=["POST"]),
            Route("/{checkpoint:path}/ttl", _accept, methods=["PUT"]),
            Route(f"{API}/load_weights", self._load_weights, methods=["POST"]),
            Route(f"{API}/save_weights_external", self._save_weights_external, methods=["POST"]),
            Route(f"{API}/asample", self._sample, methods=["POST"]),
            Route(f"{API}/retrieve_future", self._retrieve_future, methods=["POST"]),
        ]
        self._router = Router(routes, redirect_slashes=False, default=app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope, body = self._models.translated(scope, await Request(scope, receive).body())
        await self._router(scope, _replay(body, receive), send)

    async def _post(self, request: Request, name: str, document: Any) -> httpx.Response:
        """Return TuFT's answer to another request from the same client."""
        headers = {header: request.headers[header] for header in PASSED_ON if header in request.headers}
        return await self._tuft.post(f"{API}/{name}", json=document, headers=headers)

    async def _load_weights(self, request: Request) -> Response:
        """Load a state; where the request names no model, make one first: TuFT does not make it by itself."""
        document = await request.json()
        if not document.get("model_id"):
            info = await self._post(request, "weights_info", {"tinker_path": document["path"]})
            if info.is_error:
                return _as_it_is(info)
            created = await self._post(request, "create_model", _like(info.json(), document))
            if created.is_error:
                return _as_it_is(created)
            model = (await self._post(request, "retrieve_future", {"request_id": created.json()["request_id"]})).json()
            self._models.add(document["session_id"], document["model_seq_id"], model["model_id"])
            kept = {name: document[name] for name in ("path", "optimizer")}
            document = {"model_id": model["model_id"], **kept, "type": "load_weights"}
        return _as_it_is(await self._post(request, "load_weights", document))

    async def _save_weights_external(self, request: Request) -> Response:
        document = await request.json()
        run, name = document["model_id"], document["path"]
        changed = {"model_id": run, "path": f"external-{name}", "seq_id": document.get("seq_id")}
        answer = await self._post(request, "save_weights_for_sampler", changed)
        if answer.is_success:
            self._external.expect(answer.json()["request_id"], run, name)
        return _as_it_is(answer)

    async def _sample(self, request: Request) -> Response:
        """Sample, and give every answer an id; `topk_prompt_logprobs` needs `prompt_logprobs` in TuFT."""
        document = await request.json()
        for name in UNSUPPORTED:
            if document.get(name):
                return JSONResponse({"detail": f"{name} is not supported by this server"}, 422)
        last_n = document.pop("prompt_logprobs_last_n", None)
        if document.get("topk_prompt_logprobs"):
            document["prompt_logprobs"] = True
        answer = await self._post(request, "asample", document)
        if answer.is_error:
            return _as_it_is(answer)
        future = answer.json()
        if last_n:
            self._last_n[future["request_id"]] = last_n
        ids = [f"{future['request_id']}:{number}" for number in range(document.get("num_samples") or 1)]
        return JSONResponse({**future, "sample_sequence_ids": ids}, answer.status_code)

    async def _retrieve_future(self, request: Request) -> Response:
        document = await request.json()
        number = document["request_id"]
        answer = await self._post(request, "retrieve_future", document)
        if answer.status_code == 422 and b"Future failed" in answer.content:
            return JSONResponse({"error": answer.json()["detail"], "category": "user"})
        if answer.status_code != 200:
            return _as_it_is(answer)
        if "protobuf" in answer.headers["content-type"]:
            return _as_it_is(answer, _only_last(answer.content, self._last_n.get(number, 0)))
        path = answer.json().get("path")
        external = self._external.finish(number, path) if path else None
        if external is not None:
            return JSONResponse({"path": external, "type": "save_weights_external"})
        return _as_it_is(answer)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body which has been read already."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed


def _as_it_is(answer: httpx.Response, body: bytes | None = None) -> Response:
    """Return TuFT's answer, or another body with its status and its type."""
    return Response(
        answer.content if body is None else body, answer.status_code, media_type=answer.headers["content-type"]
    )


def _like(info: Any, document: Any) -> dict[str, Any]:
    """Return the request for a model with the adapter's shape that a saved state has."""
    parts = {"train_unembed": info.get("train_unembed") or False}
    parts |= {name: info.get(name) is not False for name in ("train_mlp", "train_attn")}
    return {
        "session_id": document["session_id"],
        "model_seq_id": document["model_seq_id"],
        "base_model": document.get("base_model") or info["base_model"],
        "user_metadata": document.get("user_metadata"),
        "lora_config": {"rank": info["lora_rank"], **parts},
    }


def _only_last(body: bytes, count: int) -> bytes:
    """Return a sampler's answer with the log probabilities of the prompt's last tokens alone; 0 leaves it as it is."""
    if not count:
        return body
    message: Any = SampleResponse.FromString(body)
    logprobs = np.frombuffer(message.prompt_logprobs, np.float32).copy()
    logprobs[: len(logprobs) - count] = np.nan
    message.prompt_logprobs = logprobs.tobytes()
    return bytes(message.SerializeToString())


async def _accept(request: Request) -> Response:
    return JSONResponse({})
