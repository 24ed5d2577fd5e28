"""The documentation is correct: its Python runs, its commands work, its links have targets, and every hook is listed.

A page is a session in an empty folder. A fenced block with a file's name as its title is written there; in a `console`
block each line after `$ ` is a command. `pdistill` commands run in this process, on the fake backend and with fewer queries
than a real run would take; an output line that begins with "error:" is what the command must say.
"""

import inspect
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import NamedTuple

import markdown
import pytest
from click.testing import CliRunner
from mkdocs.config import load_config

from pdistill.cli.main import pdistill
from pdistill.core.contract import hookspecs
from pdistill.core.contract.plugins import installed, load
from pdistill.core.probes import proportion
from tests.writers import writer

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINKING = [*PAGES, ROOT / "CHANGELOG.md", *sorted((ROOT / "examples").rglob("*.md"))]
BLOCK = re.compile(r'^```([\w-]*)(?: title="([^"]*)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+?)\s*$", re.MULTILINE)
REHEARSED = ("--backend", "fake", "--teacher", "rule", "--student", "rule", "--force")


class Block(NamedTuple):
    """A fenced block: its language, the name of its file, and its contents."""

    language: str
    file: str
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in BLOCK.findall(page.read_text("utf-8"))]


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


EXAMPLES = [
    pytest.param(block.text, id=f"{named(page)}-{number}")
    for page in PAGES
    for number, block in enumerate(blocks(page))
    if block.language == "python" and not block.file
]
SESSIONS = [page for page in PAGES if any(block.language == "console" for block in blocks(page))]


@pytest.mark.parametrize("source", EXAMPLES)
def test_an_example_runs(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "example.py").write_text(source, "utf-8")
    spec = spec_from_file_location("documented_example", tmp_path / "example.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)


def test_examples_of_tests_pass(tmp_path: Path) -> None:
    sources = [str(example.values[0]) for example in EXAMPLES if "\ndef test_" in str(example.values[0])]
    assert sources
    for number, source in enumerate(sources):
        (tmp_path / f"test_example_{number}.py").write_text(source, "utf-8")
    run_pytest(tmp_path)


@pytest.mark.parametrize("page", [pytest.param(page, id=named(page)) for page in SESSIONS])
def test_the_commands_of_a_page_work(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_backend: Callable[..., object]
) -> None:
    fake_backend(teacher=writer, name="writer")
    monkeypatch.setattr(proportion, "MOST_OF_THE_PASS", 0.25)  # as it is for users
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for block in blocks(page):
        if block.file:
            place = tmp_path / block.file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(block.text, "utf-8")
        elif block.language == "console":
            for command, said in commands(block.text):
                execute(command, said, tmp_path, monkeypatch)


def commands(session: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the words of each command of a session, and the lines of its output that start with "error:"."""
    for part in re.split(r"^\$ ", session.replace("\\\n", " "), flags=re.MULTILINE)[1:]:
        line, *output = part.splitlines()
        yield shlex.split(line, comments=True), [text for text in output if text.startswith("error:")]


def execute(words: list[str], errors: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    match words:
        case ["pdistill", *args]:
            run_pdistill(args, errors)
        case ["make", *targets]:
            known = re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            assert set(targets) <= set(known)
        case ["pip", "install", "--editable", place] if not place.startswith("."):
            install(folder / place.partition("[")[0], monkeypatch)
        case ["pytest", place]:
            run_pytest(folder / place)


def run_pdistill(args: list[str], errors: list[str]) -> None:
    stdin = None
    if "<" in args:
        *args, _, name = args
        stdin = Path(name).read_bytes()
    if args[0] in ("run", "generate") and "fake" not in args:
        args = [*args, *REHEARSED, *answers(args)]
    if args[0] == "queries" and "--teacher" in args:
        args = [*args, "--teacher", "writer:scripted"]
    if "--task" in args and "--limit" not in args:
        args = [*args, "--limit", "100"]
    done = CliRunner().invoke(pdistill, args, input=stdin)
    assert (done.exit_code == 0) == (not errors), f"pdistill {shlex.join(args)}: {done.output}"
    for error in errors:
        assert error in done.stderr.splitlines()


def answers(args: list[str]) -> list[str]:
    """Return the option that makes the fake teacher answer with the labels in a configuration file."""
    if "--config" not in args:
        return []
    labels = tomllib.loads(Path(args[args.index("--config") + 1]).read_text("utf-8")).get("labels")
    return ["-B", f"answers={','.join(labels)}"] if labels else []


def install(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the plugins of a project as pip would, until the test ends."""
    monkeypatch.syspath_prepend(project / "src")
    told = tomllib.loads((project / "pyproject.toml").read_text("utf-8"))["project"]
    points = told["entry-points"]["pdistill"]
    info = project / "src" / f"{told['name'].replace('-', '_')}-{told['version']}.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {told['name']}\nVersion: {told['version']}\n")
    lines = "".join(f"{name} = {module}\n" for name, module in points.items())
    info.joinpath("entry_points.txt").write_text(f"[pdistill]\n{lines}")
    loaded = load(EntryPoint(name, value, "pdistill") for name, value in points.items())
    assert loaded.problems == []
    for entry in loaded.tasks:
        monkeypatch.setitem(installed().tasks._entries, entry.name, entry)


def run_pytest(folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder / "src"), str(ROOT)])}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("page", [pytest.param(page, id=named(page)) for page in LINKING])
def test_links_have_targets(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{named(page)} links to {link}"
        assert not anchor or anchor in anchors(target), f"{named(page)} links to {link}"


@pytest.mark.parametrize("page", [pytest.param(page, id=named(page)) for page in LINKING])
def test_the_site_shows_every_fenced_block_as_one(page: Path) -> None:
    """A line that is no fence for the site's parser turns what follows into text, headings and all."""
    site = load_config(str(ROOT / "mkdocs.yml"))
    text = page.read_text("utf-8")
    built = markdown.markdown(text, extensions=site.markdown_extensions, extension_configs=site.mdx_configs)
    assert "```" not in built
    assert len(blocks(page)) == len(re.findall(r"^ *```", text, re.MULTILINE)) / 2


def prose(page: Path) -> str:
    return BLOCK.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(prose(page))}


def test_every_hook_has_a_heading_with_its_signature() -> None:
    page = (ROOT / "docs" / "reference" / "plugin-hooks.md").read_text("utf-8")
    hooks = [value for name, value in vars(hookspecs).items() if name.startswith("pdistill_")]
    assert hooks
    for hook in hooks:
        signature = next(line for line in inspect.getsource(hook).splitlines() if line.startswith("def "))
        section = page.partition(f"\n## {hook.__name__}\n")[2].partition("\n## ")[0]
        assert signature.removesuffix(":") in section


@pytest.mark.parametrize("page", [pytest.param(page, id=named(page)) for page in LINKING])
def test_no_page_contains_a_machine_path(page: Path) -> None:
    assert not re.search(r"(?<![\w.])/(home|Users|work|tmp|root)/", page.read_text("utf-8"))
