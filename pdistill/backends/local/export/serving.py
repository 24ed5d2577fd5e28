"""Serves an export over OpenAI's chat completions API, with transformers' own handler."""

import asyncio
import socket
import uuid
from collections.abc import Callable, Collection
from ipaddress import ip_address
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import orjson

from pdistill.backends.local.export.chat_request import RequestError, error_content, handler_arguments
from pdistill.backends.local.export.event_stream import as_openai
from pdistill.backends.local.export.transformers_export import TransformersExport
from pdistill.core.contract.sampling import Sampling
from pdistill.core.errors import BackendError, not_installed

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response, StreamingResponse
    from starlette.routing import Route
    from starlette.types import ASGIApp, Receive, Scope, Send
    from transformers.cli.serving.chat_completion import ChatCompletionHandler
    from transformers.cli.serving.model_manager import ModelManager
    from transformers.cli.serving.utils import GenerationState

    from pdistill.backends.local.export.generation_manager import GenerationManager
except (ImportError, NameError) as error:  # transformers raises NameError where its own extra is missing
    raise BackendError(not_installed("serving", "serve")) from error

MAX_REQUEST_BYTES = 1 << 20
MAX_DISCARDED_BYTES = 64 << 20
"""Most bytes of a request, and most bytes that are read and discarded so that its sender gets the reason."""
READ_SECONDS = 30
"""Seconds that the body of a request may take to arrive."""
GRACE_SECONDS = 10
"""Seconds that answers in progress may take once the server is told to stop."""


class ServedModel:
    """What transformers' handler sees of a model.

    Its model type is not one of transformers', so that answers are passed on unchanged: for a known type, the handler
    removes thoughts and tool calls, and a streamed answer would begin with the chat template's newlines.
    """

    config = SimpleNamespace(model_type="student")

    def __init__(self, export: TransformersExport, manager: GenerationManager) -> None:
        self.device = export.model.device
        self.generation_config = export.settings
        self.generate = manager.generate


class StudentHandler(ChatCompletionHandler):
    """Answers chat completions with the one loaded model.

    Args:
        export: the model.
        name: the model's name for clients.
        sampling: what ends its answers, in addition to its end tokens and the request's own stop sequences.
        ignore_system: whether system messages are left out of the requests.
    """

    def __init__(
        self, export: TransformersExport, name: str, sampling: Sampling, *, ignore_system: bool = False
    ) -> None:
        self.manager = GenerationManager(export, sampling)
        state: Any = GenerationState()
        state.get_manager = lambda *_, **__: self.manager
        super().__init__(ModelManager(device="cpu"), state)
        self.export = export
        self.name = name
        self.ignore_system = ignore_system
        self.model = ServedModel(export, self.manager)
        export.tokenizer.response_template = None

    def _resolve_model(self, body: dict[str, Any]) -> tuple[str, Any, Any]:
        return self.name, self.model, self.export.tokenizer

    def close(self) -> None:
        """End the answers in progress at their next token."""
        self.manager.close(GRACE_SECONDS)


def serve(
    export: TransformersExport,
    name: str,
    sampling: Sampling,
    host: str,
    port: int,
    ready: Callable[[str], None],
    allowed: Collection[str] = (),
    *,
    ignore_system: bool = False,
) -> None:
    """Answer requests until the process is told to stop.

    Args:
        export: the model.
        name: the model's name for clients.
        sampling: what ends its answers, in addition to its end tokens and the request's own stop sequences.
        host: the address to listen on.
        port: the port to listen on; 0 is any free port.
        ready: called with the URL once the server listens.
        allowed: more host names that requests may be addressed to.
        ignore_system: whether system messages are left out of the requests.

    Raises:
        BackendError: the server can't listen on the address.
    """
    listening = _listen(host, port)
    student = StudentHandler(export, name, sampling, ignore_system=ignore_system)
    address, bound_port = listening.getsockname()[:2]
    ready(f"http://{f'[{address}]' if ':' in address else address}:{bound_port}/v1")
    try:
        make_server(student, allowed={host, *allowed}).run(sockets=[listening])
    finally:
        listening.close()


def make_server(student: StudentHandler, grace: int = GRACE_SECONDS, allowed: Collection[str] = ()) -> uvicorn.Server:
    """Return the server, not yet running; once told to stop, it gives the answers in progress `grace` seconds."""
    config = uvicorn.Config(
        make_application(student, allowed),
        log_level="critical",
        lifespan="off",
        timeout_graceful_shutdown=grace,
        access_log=False,
    )
    return _Server(config, student)


class _Server(uvicorn.Server):
    """A server whose model is idle before its event loop is closed."""

    def __init__(self, config: uvicorn.Config, student: StudentHandler) -> None:
        super().__init__(config)
        self._student = student

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Wait for the answers in progress, then end them; no client is left to hear about errors."""
        await super().shutdown(sockets)
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        await asyncio.to_thread(self._student.close)


class KnownHosts:
    """Passes on requests for a known host name, and refuses all others.

    A page of another site can give a name of its own this machine's address (DNS rebinding); then its visitors' browsers would
    let it read the answers.

    Args:
        app: the application.
        allowed: the host names, besides localhost and IP addresses.
    """

    def __init__(self, app: ASGIApp, allowed: Collection[str]) -> None:
        self._app = app
        self._allowed = {"localhost", *allowed}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        name = _host_name(Request(scope)) if scope["type"] == "http" else "localhost"
        known = name in self._allowed or _is_address(name)
        refusal = _error(421, f"requests for {name!r} are not answered; start the server with --allow-host {name}")
        await (self._app if known else refusal)(scope, receive, send)


def _host_name(request: Request) -> str:
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""


def make_application(student: StudentHandler, allowed: Collection[str] = ()) -> Starlette:
    """Return the server's application: chat completions, the list of its one model, and its health.

    Args:
        allowed: the host names that requests may be addressed to, besides this machine's own and IP addresses.
    """

    async def chat(request: Request) -> Response:
        _require_json(request)
        content = _parsed(await _read(request))
        body = await asyncio.to_thread(
            handler_arguments, content, student.export, student.name, ignore_system=student.ignore_system
        )
        with_usage = body.pop("include_usage")
        response: Response = await student.handle_request(
            body, request.headers.get("x-request-id") or str(uuid.uuid4())
        )
        if isinstance(response, StreamingResponse):
            response.body_iterator = as_openai(response.body_iterator, with_usage=with_usage)
        return response

    model = {"id": student.name, "object": "model", "created": 0, "owned_by": "pdistill"}

    async def models(request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [model]})

    async def one_model(request: Request) -> Response:
        if request.path_params["name"] != student.name:
            raise RequestError(404, f"there is no such model; there is '{student.name}'", "model_not_found")
        return JSONResponse(model)

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/models", models),
            Route("/v1/models/{name:path}", one_model),
            Route("/health", health),
        ],
        middleware=[Middleware(KnownHosts, allowed)],
        exception_handlers={RequestError: _rejection, HTTPException: _failure, Exception: _failure},
    )


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise BackendError(f"can't listen on {host}, port {port}: {reason}; use another --port or --host") from None


async def _read(request: Request) -> bytes:
    """Return the body of a request.

    Raises:
        RequestError: it is too large, or does not arrive.
    """
    parts, size = [], 0
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > MAX_DISCARDED_BYTES:
                    break
                if size <= MAX_REQUEST_BYTES:
                    parts.append(part)
    except TimeoutError:
        raise RequestError(408, f"the request did not arrive within {READ_SECONDS} seconds") from None
    if size > MAX_REQUEST_BYTES:
        raise RequestError(413, f"the request is larger than {MAX_REQUEST_BYTES:,} bytes", "request_too_large")
    return b"".join(parts)


def _require_json(request: Request) -> None:
    """Guarantee that the request is JSON, which a page of another site can't make a browser send without asking the server first.

    Raises:
        RequestError: it is not.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RequestError(415, "the request's Content-Type must be application/json")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _parsed(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except ValueError:
        raise RequestError(400, "the request is not JSON") from None


async def _rejection(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return _error(error.status, str(error), error.code)


async def _failure(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return _error(error.status_code, str(error.detail).lower())
    return _error(500, f"unexpected {type(error).__name__}")


def _error(status: int, message: str, code: str | None = None) -> Response:
    return JSONResponse(error_content(status, message, code), status)
