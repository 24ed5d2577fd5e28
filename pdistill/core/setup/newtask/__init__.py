"""A package with a task of your own, made from templates: it installs, passes its tests and runs as is."""

import re
from importlib.resources import files
from pathlib import Path

from pdistill.core.contract.plugins import installed
from pdistill.core.errors import UsageError

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
TEMPLATES = files(__name__) / "templates"
WRITTEN = {
    "pyproject.toml": "pyproject.toml.jinja",
    "README.md": "README.md.jinja",
    "src/{module}/__init__.py": "task.py.jinja",
    "src/{module}/prompt.txt": "prompt.txt",
    "src/{module}/queries.jsonl": "queries.jsonl",
    "tests/test_{name}.py": "test.py.jinja",
}


def write_package(name: str, folder: Path | None = None) -> tuple[Path, list[Path]]:
    """Write the package, and return its directory and its files.

    Args:
        name: the task's name for `--task`.
        folder: a new or empty directory; None: pdistill-task-NAME.

    Raises:
        UsageError: the name is invalid or taken, or the directory is not empty.
    """
    check_name(name)
    project = f"pdistill-task-{name}"
    place = folder or Path(project)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        what = "is not empty" if place.is_dir() else "is a file"
        raise UsageError(f"'{place}' {what}; name another directory: pdistill new-task {name} DIR")
    words = {
        "name": name,
        "project": project,
        "module": project.replace("-", "_"),
        "task": "".join(part.capitalize() for part in name.split("-")) + "Task",
        "snake": name.replace("-", "_"),
    }
    paths = []
    for path, template in WRITTEN.items():
        target = place / path.format(module=words["module"], name=words["snake"])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_filled(template, words), encoding="utf-8")
        paths.append(target)
    return place, paths


def check_name(name: str) -> None:
    """Guarantee that a new task can have this name, and that its package can be named after it.

    Raises:
        UsageError: the name is invalid, or there is such a task already.
    """
    if not NAME.fullmatch(name):
        near = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-0123456789")
        hint = f", did you mean '{near}'?" if NAME.fullmatch(near) else ""
        raise UsageError(
            f"invalid task name '{name}'{hint or ';'} use lower-case letters and digits, a letter first, with hyphens "
            "between words"
        )
    tasks = installed().tasks
    if name in tasks:
        raise UsageError(
            f"there already is a task '{name}', from plugin {tasks[name].plugin}; choose another name (taken: "
            f"{', '.join(entry.name for entry in tasks)})"
        )


def _filled(template: str, words: dict[str, str]) -> str:
    from jinja2 import Environment, StrictUndefined

    text = (TEMPLATES / template).read_text("utf-8")
    if not template.endswith(".jinja"):
        return text
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)  # noqa: S701 - writes no HTML
    return environment.from_string(text).render(words)
