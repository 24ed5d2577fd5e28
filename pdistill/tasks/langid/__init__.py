"""Language identification: 13 labels, with rules for code, numbers, mixed, short and romanized text."""

from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from typing import ClassVar

import pdistill
from pdistill.core.contract.queries import Query
from pdistill.core.contract.queryfiles import parse_query
from pdistill.core.contract.registry import Registry
from pdistill.core.contract.task import Task

LABELS = ("ar", "de", "el", "en", "es", "fr", "hi", "ru", "tr", "ur", "vi", "zh", "ot")
FOLDER = files(__name__)


class LanguageIdentification(Task):
    """Label the language of a text; see prompt.txt for the rules."""

    labels = LABELS
    max_tokens = 8
    models: ClassVar[Mapping[str, str]] = {"local": "builtin"}

    def __init__(self) -> None:
        self.prompt = (FOLDER / "prompt.txt").read_text("utf-8").removesuffix("\n")

    def queries(self) -> list[Query]:
        """Return the shipped queries, each with its reference and slices, in an order in which the first N are a representative sample."""
        queries = [
            parse_query(line, file.name)
            for file in (FOLDER / "queries").iterdir()
            for line in file.read_text("utf-8").split("\n")
            if line
        ]
        return sorted(queries, key=lambda query: sha256(query.text.encode()).digest())


@pdistill.hookimpl
def pdistill_register_tasks(tasks: Registry[Task]) -> None:
    """Register the task."""
    summary = "label the language of a text, by rules for code, numbers and mixed languages"
    tasks.register("langid", lambda options: LanguageIdentification(), summary=summary)
