import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pdistill.core import pipeline
from pdistill.core.errors import BackendError, RunError, TaskError, UsageError
from pdistill.core.results import reporting
from pdistill.core.results.headline import headline
from pdistill.core.results.reporting import report_from
from pdistill.core.setup.config import TRAIN_KEYS, Config
from pdistill.core.store.rows import read_rows
from pdistill.core.store.rundir import ARMS, RunDirectory
from tests.runs import LINES, SECONDS, Said, contents, fake_config


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("finished")
    config = fake_config(folder, folder / "run")
    return config, pipeline.run(config)


def write_hashes(path: Path, count: int) -> Path:
    """Write queries that are unlike each other; about a fifth of them are held out."""
    texts = (sha256(str(at).encode()).hexdigest() for at in range(count))
    path.write_text("".join(json.dumps({"query": text, "reference": None}) + "\n" for text in texts))
    return path


def rows(config: Config, name: str) -> list[dict[str, Any]]:
    return list(read_rows(config.directory / name))


def test_the_report_has_what_the_contract_asks_for(finished: tuple[Config, dict[str, Any]]) -> None:
    config, report = finished
    assert report == json.loads((config.directory / "report.json").read_text())
    assert report["schema"] == 1
    assert set(report["arms"]) == set(ARMS)
    assert report["n"]["train"] + report["n"]["eval"] == 30
    assert report["arms"]["teacher"]["agreement"]["value"] == 1
    assert report["arms"]["base"]["agreement"]["value"] == 0
    assert report["arms"]["student"]["agreement"]["value"] > 0.5
    held_out = {row["id"] for row in rows(config, "examples.jsonl") if row["split"] == "eval"}
    slices = {row["slices"][0] for row in rows(config, "queries.jsonl") if row["id"] in held_out}
    for arm in ARMS:
        assert set(report["arms"][arm]["slices"]) == slices
    assert report["tokens"]["saved_per_call"] == pytest.approx(
        report["tokens"]["prompt_teacher"] - report["tokens"]["prompt_student"]
    )
    assert set(report["seconds"]) == {"generate", "train", "evaluate"}


def test_rows_have_the_keys_of_the_contract(finished: tuple[Config, dict[str, Any]]) -> None:
    config, _ = finished
    for row in rows(config, "responses.jsonl"):
        assert {"id", "query", "prompt", "response", "finish"} <= set(row)
    for arm in ARMS:
        for row in rows(config, f"predictions-{arm}.jsonl"):
            assert {"id", "query", "response", "finish"} <= set(row)


def test_figures_are_those_of_the_rows(finished: tuple[Config, dict[str, Any]]) -> None:
    config, report = finished
    targets = {row["id"]: row["target"] for row in rows(config, "examples.jsonl") if row["split"] == "eval"}
    answers = {row["id"]: row["response"] for row in rows(config, "predictions-student.jsonl")}
    assert set(answers) == set(targets)
    agreeing = sum(answers[name] == target for name, target in targets.items())
    assert report["arms"]["student"]["agreement"]["value"] == pytest.approx(agreeing / len(targets), abs=1e-6)
    right = sum(answer == "animal" for answer in answers.values())
    assert report["arms"]["student"]["accuracy"]["value"] == pytest.approx(right / len(targets), abs=1e-6)


def test_a_rerun_changes_no_byte(finished: tuple[Config, dict[str, Any]]) -> None:
    config, report = finished
    before = contents(config.directory, without=set())
    assert pipeline.run(config) == report
    assert contents(config.directory, without=set()) == before


def test_step_by_step_gives_the_same_bytes(finished: tuple[Config, dict[str, Any]], tmp_path: Path) -> None:
    config, _ = finished
    run = pipeline.generate(replace(config, run_dir=tmp_path / "steps"))
    pipeline.train(run, {})
    pipeline.evaluate(run)
    reporting.report(run)
    without = {"timings.jsonl", "run.json", *SECONDS}
    assert contents(run.path, without=without) == contents(config.directory, without=without)


def test_the_prompt_matters(finished: tuple[Config, dict[str, Any]], tmp_path: Path) -> None:
    config, _ = finished
    other = tmp_path / "prompt.txt"
    other.write_text("Name the kind.\nFruit:fruit\nAnimal:animal\nOther:other\n")
    pipeline.generate(replace(config, prompt=other, run_dir=tmp_path / "run"))
    before = [row["response"] for row in rows(config, "responses.jsonl")]
    after = [row["response"] for row in read_rows(tmp_path / "run" / "responses.jsonl")]
    assert before != after


def test_other_options_are_an_error_that_lists_them(finished: tuple[Config, dict[str, Any]]) -> None:
    config, _ = finished
    with pytest.raises(
        RunError, match=r"was made with other options: limit unset \(now 5\), seed 0 \(now 3\), other queries; .*--from"
    ):
        pipeline.run(replace(config, limit=5, seed=3))
    with pytest.raises(RunError, match=r"trained with other options: rank 32 \(now 8\)"):
        pipeline.run(replace(config, rank=8))
    with pytest.raises(RunError, match=r"trained with other options: epochs unset \(now 9\)"):
        pipeline.train(RunDirectory(config.directory), {"epochs": 9})


def test_another_spelling_of_the_models_is_the_same_run(finished: tuple[Config, dict[str, Any]]) -> None:
    config, report = finished
    assert (config.backend, config.teacher, config.student) == ("fake", None, None)
    for spelled in (
        replace(config, teacher="rule"),
        replace(config, teacher="fake:rule", student="rule"),
        replace(config, student="fake:rule"),
        replace(config, backend="local", teacher="fake:rule"),
    ):
        assert pipeline.run(spelled) == report
    pipeline.train(RunDirectory(config.directory), {"student": "fake:rule"})
    with pytest.raises(RunError, match=r"made with other options: teacher unset \(now fake:echo\); take"):
        pipeline.run(replace(config, teacher="fake:echo"))
    with pytest.raises(RunError, match=r"is trained with other options: student unset \(now echo\); take"):
        pipeline.run(replace(config, student="echo"))


def test_another_spelling_of_the_student_is_the_same_option_before_training(tmp_path: Path) -> None:
    config = fake_config(tmp_path, tmp_path / "run", student="fake:echo")
    pipeline.generate(config)
    with pytest.raises(RunError, match=r"was started with other options: student fake:echo \(now unset\)"):
        pipeline.run(replace(config, student=None))
    pipeline.run(replace(config, student="echo"))


def test_from_is_suggested_only_where_it_can_reuse_an_answer(
    finished: tuple[Config, dict[str, Any]], tmp_path: Path
) -> None:
    config, _ = finished
    other = tmp_path / "prompt.txt"
    other.write_text("Name the kind.\nFruit:fruit\nAnimal:animal\nOther:other\n")
    changes: tuple[dict[str, Any], ...] = ({"prompt": other}, {"max_tokens": 5}, {"temperature": 0.5, "seed": 3})
    for change in changes:
        with pytest.raises(RunError, match="; take another --run-dir$"):
            pipeline.generate(replace(config, **change))
    with pytest.raises(RunError, match="with --from .* to reuse the answers that are the same$"):
        pipeline.generate(replace(config, seed=3))


def test_mistyped_name_is_reported_before_differences(finished: tuple[Config, dict[str, Any]]) -> None:
    config, _ = finished
    with pytest.raises(UsageError, match="unknown backend 'fkae', did you mean 'fake'"):
        pipeline.run(replace(config, backend="fkae"))
    with pytest.raises(UsageError, match="unknown option of backend fake: 'latncy', did you mean 'latency'"):
        pipeline.run(replace(config, backend_options={"latncy": "1"}))


def test_an_option_that_changes_no_row_may_change(tmp_path: Path) -> None:
    config = fake_config(tmp_path, tmp_path / "run", backend_options={"fail_at": "7"})
    with pytest.raises(BackendError, match="failed at call 7"):
        pipeline.generate(config)
    pipeline.generate(replace(config, backend_options={"shuffle": "true"}))
    with pytest.raises(RunError, match="was made with other options: backend-options unset"):
        pipeline.generate(replace(config, backend_options={"cut_every": "2"}))


def test_an_edited_file_is_an_error_and_stays(tmp_path: Path) -> None:
    run = pipeline.generate(fake_config(tmp_path, tmp_path / "run"))
    edited = run.examples.read_bytes().replace(b'"train"', b'"eval"', 1)
    run.examples.write_bytes(edited)
    with pytest.raises(RunError, match=r"examples.jsonl' was changed after it was complete"):
        pipeline.train(run, {})
    assert run.examples.read_bytes() == edited


def test_a_second_process_gets_a_clear_error(tmp_path: Path) -> None:
    run = pipeline.generate(fake_config(tmp_path, tmp_path / "run"))
    with run.lock(), pytest.raises(RunError, match="another process is working on"):
        pipeline.train(RunDirectory(run.path), {})


def test_stages_out_of_order_name_the_next_command(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no run in"):
        pipeline.train(RunDirectory(tmp_path / "nothing"), {})
    run = pipeline.generate(fake_config(tmp_path, tmp_path / "run"))
    with pytest.raises(RunError, match="continue with pdistill train"):
        pipeline.evaluate(run)
    pipeline.train(run, {})
    with pytest.raises(RunError, match="continue with pdistill evaluate"):
        reporting.report(run)


def test_answers_are_reused_where_nothing_that_made_them_differs(tmp_path: Path) -> None:
    first = pipeline.generate(fake_config(tmp_path, tmp_path / "first", limit=20))
    config = fake_config(tmp_path, tmp_path / "second", from_run=first.path, backend_options={"fail_at": "19"})
    said = Said()
    second = pipeline.generate(config, said)  # the 19th call would fail: 10 are the teacher's, 8 the base's
    fresh = pipeline.generate(fake_config(tmp_path, tmp_path / "third"))
    answers = list(read_rows(second.path / "responses.jsonl"))
    assert [row["number"] for row in answers if row.pop("reused", False)] == list(range(20))
    assert answers == list(read_rows(fresh.path / "responses.jsonl"))
    assert "20 of the answers were reused from the run of --from" in said.lines
    with pytest.raises(RunError, match=r"can't be reused: they were made with other options: max-tokens 256 \(now 5\)"):
        pipeline.generate(replace(config, run_dir=tmp_path / "fourth", max_tokens=5))


def test_samples_give_the_most_common_target(tmp_path: Path) -> None:
    run = pipeline.generate(fake_config(tmp_path, tmp_path / "run", samples=3, temperature=1.0))
    answers = list(read_rows(run.path / "responses.jsonl"))
    assert [(row["number"], row.get("sample", 0)) for row in answers] == [(n, s) for n in range(30) for s in range(3)]
    for example in read_rows(run.examples):
        drawn = [row["response"] for row in answers if row["number"] == example["number"]]
        assert drawn.count(example["target"]) == max(drawn.count(text) for text in drawn)
        assert example["confidence"] == drawn.count(example["target"]) / 3


def test_teacher_without_usable_answers_is_refused(tmp_path: Path) -> None:
    queries = tmp_path / "queries.txt"
    queries.write_text("\n".join(LINES))
    config = fake_config(tmp_path, tmp_path / "run", labels=("yes", "no"), queries=queries)
    with pytest.raises(
        TaskError, match=r"8 of 8 answers of the teacher can't be used \(8 not one of the labels\), such as '\w+';"
    ):
        pipeline.run(config)
    with pytest.raises(TaskError, match="there is no example to train on"):
        pipeline.run(replace(config, force=True))


def test_answers_that_were_cut_off_are_counted(tmp_path: Path) -> None:
    run = pipeline.generate(fake_config(tmp_path, tmp_path / "run", max_tokens=1))
    reasons = [row["rejected"] for row in read_rows(run.examples)]
    assert "cut off at the token limit" in reasons
    for row in read_rows(run.path / "responses.jsonl"):
        assert (row["finish"] == "length") == (reasons[row["number"]] == "cut off at the token limit")


@pytest.mark.parametrize("labels", [None, ("animal", "fruit", "other")])
def test_failed_start_leaves_a_run_that_can_be_started_correctly(
    tmp_path: Path, labels: tuple[str, ...] | None
) -> None:
    config = fake_config(tmp_path, tmp_path / "run", labels=labels, teacher="fake:nobody")
    with pytest.raises(Exception, match="nobody"):
        pipeline.run(config)
    assert not (tmp_path / "run").exists()
    pipeline.generate(replace(config, teacher=None))


def test_train_takes_the_options_of_its_stage(tmp_path: Path) -> None:
    run = pipeline.generate(fake_config(tmp_path, tmp_path / "run"))
    assert set(TRAIN_KEYS) >= {"epochs", "batch_size", "learning_rate", "rank", "student"}
    pipeline.train(run, {"epochs": 2, "batch_size": 8})
    assert run.stage("train")["options"]["epochs"] == 2
    assert len(list(read_rows(run.path / "metrics.jsonl"))) == 2 * -(
        -sum(1 for row in read_rows(run.examples) if row["split"] == "train") // 8
    )


def test_options_of_the_first_start_are_kept(tmp_path: Path) -> None:
    config = fake_config(tmp_path, tmp_path / "run", epochs=3)
    pipeline.generate(config)
    with pytest.raises(RunError, match=r"was started with other options: epochs 3 \(now unset\)"):
        pipeline.run(replace(config, epochs=None))
    pipeline.run(config)


def test_too_few_queries_are_refused_before_training(tmp_path: Path) -> None:
    config = fake_config(tmp_path, tmp_path / "run", limit=1)
    with pytest.raises(TaskError, match="no query is held out for evaluation"):
        pipeline.run(config)
    assert not (tmp_path / "run" / "train.json").exists()


def test_an_edited_prompt_is_an_error(tmp_path: Path) -> None:
    run = pipeline.generate(fake_config(tmp_path, tmp_path / "run"))
    (run.path / "prompt.txt").write_text("another")
    with pytest.raises(RunError, match="prompt.txt' was changed after the run began"):
        pipeline.train(run, {})


def test_files_that_differ_are_found(tmp_path: Path) -> None:
    config = fake_config(tmp_path, tmp_path / "run")
    pipeline.generate(config)
    assert config.queries is not None
    config.queries.write_text(config.queries.read_text() + '{"query": "one more"}\n')
    with pytest.raises(RunError, match="was made with other options: other queries; take another"):
        pipeline.generate(config)


def test_text_without_a_place_for_the_query(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the prompt has no '{query}'"):
        pipeline.generate(fake_config(tmp_path, tmp_path / "run", format="text"))


def test_a_planted_leak_is_found_and_kept_on_one_side(tmp_path: Path) -> None:
    config = fake_config(tmp_path, tmp_path / "run")
    assert config.queries is not None
    with config.queries.open("a") as file:
        file.writelines(f'{{"query": "{line}!", "reference": "animal"}}\n' for line in LINES[:3])
    report = pipeline.run(config)
    assert report["groups"] == {"queries": 6, "groups": 3, "largest": 2}
    split = [row["split"] for row in rows(config, "examples.jsonl")]
    assert split[30:] == split[:3]
    assert "3 groups of related queries" in (config.directory / "report.md").read_text()


def test_run_with_nothing_to_distill_continues_with_force(tmp_path: Path) -> None:
    config = fake_config(tmp_path, tmp_path / "run", labels=None, teacher="echo")
    config = replace(config, queries=write_hashes(tmp_path / "hashes.jsonl", 60))
    with pytest.raises(TaskError, match="nothing to distil"):
        pipeline.run(config)
    found = json.loads((config.directory / "preflight.json").read_text())
    assert pipeline.run(replace(config, force=True))["preflight"] == found


def test_the_verdict_on_a_constant_teacher_has_its_baseline(
    tmp_path: Path, fake_backend: Callable[..., object]
) -> None:
    fake_backend(teacher=lambda prompt, query: "animal", name="stuck")
    config = fake_config(tmp_path, tmp_path / "run", backend="stuck")
    report = pipeline.run(replace(config, queries=write_hashes(tmp_path / "hashes.jsonl", 60)))
    assert "Always giving the teacher's most common answer would agree on 12 of 12." in headline(report_from(report))
