"""Writes docs/reference/python-api.md from the docstrings of the public names: `python docs/generate_api.py`."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pdistill

PAGE = Path(__file__).parent / "reference" / "python-api.md"

START = """\
# Python API

The names of the package `pdistill`, generated from their docstrings by `python docs/generate_api.py`; a test compares the two.
Everything else may change without notice, except what [Plugin hooks](plugin-hooks.md) and [Test a plugin](../how-to/test-a-plugin.md)
describe.

The whole job in a script or a notebook. `showing` shows progress: below the cell in a notebook, otherwise on standard error.
Without it, nothing is shown. The backend `fake` answers instantly; replace it with a teacher, and the task with your own task or
files.

```python
from pdistill import Config, Query, find_run, open_arm, run, showing

config = Config(task="langid", limit=300, backend="fake")
with showing() as progress:
    report = run(config, progress)
agreement = report["arms"]["student"]["agreement"]
print(f"{agreement['value']:.2f} ({agreement['low']:.2f} to {agreement['high']:.2f})")
with open_arm(find_run("langid")) as student:
    print([answer.text for answer in student.answer([Query("Wo ist der Bahnhof, bitte?")])])
```

The same call resumes where an earlier one stopped, and a finished run returns its report immediately. Its contents are
described in [The report](report.md). Every failure that a user can act on is a `PdistillError` with a one-line message.
"""


NAMED = {
    "Prompt": ("Prompt = Messages | Text", "The input of a model."),
    "hookimpl": ("@hookimpl", "Marks a function that implements a hook; see [Plugin hooks](plugin-hooks.md)."),
}
"""The names that are neither a class nor a function."""
WIDTH = 100


def page() -> str:
    """Return the page."""
    return "\n".join([START, *(_section(name, getattr(pdistill, name)) for name in pdistill.__all__)])


def _section(name: str, value: Any) -> str:
    if name in NAMED:
        head, said = NAMED[name]
        return f"## {name}\n\n```text\n{head}\n```\n\n{said}\n"
    node: Any = ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]
    head, members = (_class(value, node), _members(node)) if inspect.isclass(value) else (_function(node), ())
    return "\n".join([f"## {name}\n", f"```text\n{head}\n```\n", _prose(inspect.getdoc(value) or ""), *members])


def _class(value: type, node: ast.ClassDef) -> str:
    """Return the signature of a class as it is called."""
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    if is_dataclass(value):
        fields = [_field(part) for part in node.body if isinstance(part, ast.AnnAssign)]
        keywords = any("kw_only=True" in ast.unparse(decorator) for decorator in node.decorator_list)
        return _call(f"class {node.name}", ["*", *fields] if keywords else fields, "")
    made = next((part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"), None)
    if made is not None:
        return _call(f"class {node.name}", _arguments(made)[1:], "")
    return f"class {node.name}({bases})" if bases else f"class {node.name}"


def _field(node: ast.AnnAssign) -> str:
    """Return a field as an argument; of a declared option, the default alone."""
    if isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "option":
        node.value = node.value.args[0]
    return ast.unparse(node)


def _function(node: ast.FunctionDef) -> str:
    manager = "@contextmanager\n" if any("contextmanager" in ast.unparse(d) for d in node.decorator_list) else ""
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return manager + _call(f"def {node.name}", _arguments(node), returns)


def _arguments(node: ast.FunctionDef) -> list[str]:
    return re.split(r", (?=\*|\w+: )", ast.unparse(node.args))


def _call(start: str, arguments: list[str], end: str) -> str:
    """Return a call's signature, over several lines if it is long."""
    line = f"{start}({', '.join(arguments)}){end}"
    if len(line) <= WIDTH:
        return line
    return "\n".join([f"{start}(", *(f"    {argument}," for argument in arguments), f"){end}"])


def _members(node: ast.ClassDef) -> Iterator[str]:
    """Yield the public methods, properties and described attributes of a class."""
    for part, after in pairwise([*node.body, ast.Pass()]):
        described = after.value if isinstance(after, ast.Expr) else None
        if isinstance(part, ast.FunctionDef) and not part.name.startswith("_"):
            is_property = any(ast.unparse(decorator) == "property" for decorator in part.decorator_list)
            arguments = _arguments(part)
            own = arguments[1:] if arguments[0] == "self" else arguments
            returns = f" -> {ast.unparse(part.returns)}" if part.returns else ""
            head = (
                f"{part.name}{returns.replace(' ->', ':')}"
                if is_property
                else f"{part.name}({', '.join(own)}){returns}"
            )
            yield f"### `{node.name}.{head}`\n\n{_prose(inspect.cleandoc(ast.get_docstring(part) or ''))}"
        elif isinstance(part, ast.AnnAssign) and isinstance(described, ast.Constant):
            yield f"### `{node.name}.{ast.unparse(part)}`\n\n{_prose(str(described.value))}"


def _prose(text: str) -> str:
    """Return a docstring as Markdown: the entries of `Args:` and `Raises:` become a list."""
    lines: list[str] = []
    for line in text.splitlines():
        if line in ("Args:", "Raises:"):
            lines += [line, ""]
        elif found := re.match(r"^    (\w+): (.*)", line):
            lines.append(f"- `{found[1]}`: {found[2]}")
        elif line.startswith("        "):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
