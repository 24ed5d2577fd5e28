"""Recorded answers, found again by what was asked."""

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.backends.messages import Message

VOLATILE = ("seq_id", "model_seq_id", "sampling_session_seq_id")
"""Fields of a request that number it: the same question has another one in another order."""


@dataclass(slots=True)
class Tape:
    """The last answer to every request; a request that was never seen has the last answer of its path."""

    answers: dict[str, Message] = field(default_factory=dict)

    def add(self, method: str, path: str, body: bytes, answer: Message) -> None:
        """Keep an answer."""
        self.answers[_key(method, path, body)] = answer
        self.answers[f"{method} {path}"] = answer

    def find(self, method: str, path: str, body: bytes) -> Message:
        """Return the answer.

        Raises:
            LookupError: nothing was recorded of this path.
        """
        exact = self.answers.get(_key(method, path, body))
        return exact if exact is not None else self.answers[f"{method} {path}"]

    def save(self, path: Path) -> None:
        """Write all answers into a file."""
        rows = {
            key: [answer.start, list(answer.headers), base64.b64encode(answer.body).decode()]
            for key, answer in self.answers.items()
        }
        path.write_text(json.dumps(rows))

    @classmethod
    def load(cls, path: Path) -> "Tape":
        """Return the answers that a file holds."""
        rows = json.loads(path.read_text())
        return cls(
            {
                key: Message(start, [(name, value) for name, value in headers], base64.b64decode(body))
                for key, (start, headers, body) in rows.items()
            }
        )


def _key(method: str, path: str, body: bytes) -> str:
    try:
        asked: Any = json.loads(body or b"null")
    except ValueError:
        return f"{method} {path} {base64.b64encode(body).decode()}"
    if isinstance(asked, dict):
        asked = {name: value for name, value in asked.items() if name not in VOLATILE}
    return f"{method} {path} {json.dumps(asked, sort_keys=True)}"
