"""Several prompts in one student: each query is answered with its own prompt, whose name is in the student's input."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pdistill.cli.main import pdistill
from pdistill.core import pipeline
from pdistill.core.contract.prompts import prompt_hash, teacher_prompt
from pdistill.core.errors import UsageError
from pdistill.core.setup.config import Config
from pdistill.core.store.rows import read_rows
from tests.runs import LINES

PROMPTS = {
    "kind": "Name the kind.\nAnimal:animal\nFruit:fruit\nOther:other",
    "place": "Name the place.\nIndoors:inside\nOutdoors:outside\nOther:nowhere",
}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    folder = tmp_path / "prompts"
    folder.mkdir()
    for name, text in PROMPTS.items():
        (folder / f"{name}.txt").write_text(f"{text}\n", "utf-8")
    rows = [{"query": line, "prompt": name, "slices": ["all"]} for line in LINES for name in PROMPTS]
    return written(tmp_path, rows)


def written(folder: Path, rows: list[dict[str, Any]], **changes: Any) -> Config:
    queries = folder / "queries.jsonl"
    queries.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    run_dir = changes.pop("run_dir", folder / "run")
    return Config(
        prompt=folder / "prompts",
        queries=queries,
        backend="fake",
        run_dir=run_dir,
        format="chat",
        force=True,
        **changes,
    )


def rows(config: Config, name: str) -> list[dict[str, Any]]:
    return list(read_rows(config.directory / name))


def sampled(config: Config, query: str, *flags: str) -> Result:
    return CliRunner().invoke(pdistill, ["sample", str(config.directory), query, "--json", *flags])


def test_each_query_is_answered_with_its_own_prompt(config: Config) -> None:
    pipeline.generate(config)
    names = {row["number"]: row["prompt"] for row in rows(config, "queries.jsonl")}
    assert set(names.values()) == set(PROMPTS)
    for row in rows(config, "responses.jsonl"):
        asked = teacher_prompt(PROMPTS[names[row["number"]]], row["query"], "chat")
        assert row["prompt"] == prompt_hash(asked)
    assert json.loads((config.directory / "prompts.json").read_text("utf-8")) == PROMPTS


def test_student_input_names_the_prompt_and_the_report_has_a_slice_per_prompt(config: Config, tmp_path: Path) -> None:
    report = pipeline.run(config)
    assert {*PROMPTS, "all"} <= set(report["arms"]["student"]["slices"])
    shutil.rmtree(tmp_path / "prompts")
    asked = f"kind: {LINES[0]}"
    told = json.loads(sampled(config, asked).stdout)
    assert (told["query"], told["finish"]) == (asked, "stop")
    under = {
        name: json.loads(sampled(config, f"{name}: {LINES[0]}", "--arm=teacher").stdout)["response"] for name in PROMPTS
    }
    given = {row["number"]: row["response"] for row in rows(config, "responses.jsonl")}
    assert list(under.values()) == [given[0], given[1]]


@pytest.mark.parametrize("query", ["apples fall", "colour: apples fall", "kind apples"])
def test_a_query_without_a_known_name_is_refused(config: Config, query: str) -> None:
    pipeline.run(config)
    done = sampled(config, query)
    assert done.exit_code == 2
    assert "does not name the prompt that it is for; begin it with 'kind: ' or 'place: '" in done.stderr


def test_changed_prompt_asks_only_its_own_queries_again(config: Config, tmp_path: Path) -> None:
    pipeline.generate(config)
    (tmp_path / "prompts" / "place.txt").write_text("Name the place.\nOther:nowhere", "utf-8")
    changed = Config(
        prompt=config.prompt, queries=config.queries, backend="fake", run_dir=tmp_path / "changed", format="chat",
        force=True, from_run=config.directory,
    )  # fmt: skip
    pipeline.generate(changed)
    names = {row["number"]: row["prompt"] for row in rows(changed, "queries.jsonl")}
    asked = {names[row["number"]] for row in rows(changed, "responses.jsonl") if not row.get("reused")}
    reused = {names[row["number"]] for row in rows(changed, "responses.jsonl") if row.get("reused")}
    assert (asked, reused) == ({"place"}, {"kind"})


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"query": "a"}, "names no prompt; give each row a .prompt.: kind, place"),
        ({"query": "a", "prompt": "colour"}, "names the unknown prompt 'colour'"),
    ],
)
def test_a_row_must_name_a_prompt(config: Config, tmp_path: Path, row: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        pipeline.generate(written(tmp_path, [row]))


def test_a_directory_without_prompts_is_refused(config: Config, tmp_path: Path) -> None:
    for name in PROMPTS:
        (tmp_path / "prompts" / f"{name}.txt").unlink()
    with pytest.raises(UsageError, match=r"there is no prompt in .*put a NAME\.txt there"):
        pipeline.generate(config)


def test_the_name_of_a_prompt_means_nothing_where_there_is_one(config: Config, tmp_path: Path) -> None:
    prompt = tmp_path / "prompts" / "kind.txt"
    one = Config(prompt=prompt, queries=config.queries, backend="fake", run_dir=tmp_path / "one", force=True)
    pipeline.generate(one)
    assert all("prompt" not in row for row in rows(one, "queries.jsonl"))
