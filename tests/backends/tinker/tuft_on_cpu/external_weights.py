"""Adapters that are saved to be downloaded: TuFT saves them for its sampler, and their files get a URL each."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route
from tuft.checkpoints import CheckpointRecord

CHECKPOINTS = "/api/v1/training_runs/{run}/checkpoints/external_weights/{name}"
VALID = timedelta(hours=1)
"""What is said of the URLs; they don't expire."""


@dataclass(slots=True)
class ExternalWeights:
    """The adapters that can be downloaded, by training run and name.

    Args:
        checkpoints: TuFT's folder of checkpoints.
    """

    checkpoints: Path
    _requests: dict[str, tuple[str, str]] = field(default_factory=dict)
    _folders: dict[tuple[str, str], Path] = field(default_factory=dict)

    def routes(self) -> list[BaseRoute]:
        """Return the routes that list, send and delete files."""
        return [
            Route(CHECKPOINTS, self._delete, methods=["DELETE"]),
            Route(f"{CHECKPOINTS}/external_weights_urls", self._urls),
            Route("/external_weights/{run}/{name}/{file:path}", self._file, name="file"),
        ]

    def expect(self, request_id: str, run: str, name: str) -> None:
        """Note that a request saves an adapter."""
        self._requests[request_id] = run, name

    def finish(self, request_id: str, tuft_path: str) -> str | None:
        """Return the path that the client is told of an adapter which TuFT has saved; None for other requests."""
        if request_id not in self._requests:
            return None
        run, name = self._requests[request_id]
        self._folders[run, name] = CheckpointRecord.from_tinker_path(tuft_path, self.checkpoints).adapter_path
        return f"tinker://{run}/external_weights/{name}"

    def _files(self, request: Request) -> dict[str, Path]:
        folder = self._folders.get((request.path_params["run"], request.path_params["name"]))
        paths = folder.rglob("*") if folder else ()
        return {path.relative_to(folder).as_posix(): path for path in paths if folder and path.is_file()}

    async def _urls(self, request: Request) -> Response:
        files = self._files(request)
        if not files:
            return _missing()
        urls = {file: str(request.url_for("file", **request.path_params, file=file)) for file in files}
        return JSONResponse({"urls": urls, "expires": (datetime.now(UTC) + VALID).isoformat()})

    async def _file(self, request: Request) -> Response:
        path = self._files(request).get(request.path_params["file"])
        return FileResponse(path) if path else _missing()

    async def _delete(self, request: Request) -> Response:
        self._folders.pop((request.path_params["run"], request.path_params["name"]), None)
        return JSONResponse({})


def _missing() -> Response:
    return JSONResponse({"detail": "no such external weights"}, 404)
