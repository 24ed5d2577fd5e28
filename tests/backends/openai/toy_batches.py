"""The batch API of the toy server: files, and batches that are completed after a number of polls."""

import json
from collections.abc import Callable
from itertools import count
from typing import Any

Body = dict[str, Any]
Answer = Callable[[str, Body], tuple[int, Body | bytes]]


class Batches:
    """Files and batches, newest first.

    Args:
        answer: answers one request of a batch, given its path and its body.
    """

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.looks = 1
        """Number of polls for which a batch is still running."""
        self.lost: set[int] = set()
        """Lines of each batch that expire without an answer."""
        self.invalid: str | None = None
        """The reason for which every batch is rejected; None accepts them."""
        self.files: dict[str, bytes] = {}
        self.made: list[Body] = []
        self._numbers = count(1)

    def posted(self, path: str, content: bytes) -> tuple[int, Body] | None:
        """Return the response to a POST request to this API; None for other paths."""
        match path.strip("/").split("/")[1:]:
            case ["files"]:
                return 200, {"id": self._stored(_uploaded(content)), "object": "file", "bytes": 0}
            case ["batches"]:
                return 200, self._begun(json.loads(content))
            case ["batches", name, "cancel"]:
                batch = self._named(name)
                batch["status"] = "cancelled"
                return 200, batch
        return None

    def got(self, path: str) -> tuple[int, Any] | None:
        """Return the response to a GET request to this API; None for other paths."""
        match path.partition("?")[0].strip("/").split("/")[1:]:
            case ["files", name, "content"]:
                return (200, self.files[name]) if name in self.files else (404, {"error": {"message": "no such file"}})
            case ["batches"]:
                return 200, {"object": "list", "data": self.made, "has_more": False}
            case ["batches", name]:
                return 200, self._looked_at(self._named(name))
        return None

    def requests(self) -> list[list[Body]]:
        """Return the requests of each batch, in the order in which they were sent."""
        return [self._lines(batch["input_file_id"]) for batch in reversed(self.made)]

    def _begun(self, asked: Body) -> Body:
        batch = {
            **asked, "id": f"batch_{next(self._numbers)}", "object": "batch", "created_at": 0, "status": "validating",
            "looks": 0,
        }  # fmt: skip
        if self.invalid is not None:
            batch |= {"status": "failed", "errors": {"data": [{"message": self.invalid}]}}
        self.made.insert(0, batch)
        return batch

    def _looked_at(self, batch: Body) -> Body:
        batch["looks"] += 1
        if batch["status"] in ("validating", "in_progress"):
            batch["status"] = "in_progress"
            if batch["looks"] > self.looks:
                self._finish(batch)
        return batch

    def _finish(self, batch: Body) -> None:
        outputs: dict[bool, list[Body]] = {True: [], False: []}
        for number, line in enumerate(self._lines(batch["input_file_id"])):
            if number in self.lost:
                error = {"code": "batch_expired", "message": "This request could not be executed in time."}
                outputs[False].append({"custom_id": line["custom_id"], "response": None, "error": error})
                continue
            status, body = self.answer(line["url"], line["body"])
            row = {"custom_id": line["custom_id"], "response": {"status_code": status, "body": body}, "error": None}
            outputs[status == 200].append(row)
        batch["status"] = "expired" if self.lost else "completed"
        for good, name in ((True, "output_file_id"), (False, "error_file_id")):
            if outputs[good]:
                batch[name] = self._stored(
                    b"".join(json.dumps(row).encode() + b"\n" for row in reversed(outputs[good]))
                )

    def _stored(self, content: bytes) -> str:
        name = f"file-{next(self._numbers)}"
        self.files[name] = content
        return name

    def _lines(self, name: str) -> list[Body]:
        return [json.loads(line) for line in self.files[name].splitlines()]

    def _named(self, name: str) -> Body:
        return next(batch for batch in self.made if batch["id"] == name)


def _uploaded(content: bytes) -> bytes:
    """Return the file in a multipart/form-data body."""
    boundary = content.partition(b"\r\n")[0]
    part = next(part for part in content.split(boundary) if b"filename=" in part.partition(b"\r\n\r\n")[0])
    return part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
