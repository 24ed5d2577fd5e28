"""The adapter is downloaded, checked, and answers as the student on the service does; no secret comes with it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pdistill.backends.local.export.transformers_export import TransformersExport
from pdistill.backends.tinker import export
from pdistill.core import pipeline
from pdistill.core.contract.queries import Query
from pdistill.core.delivery.ask import open_arm
from pdistill.core.delivery.export import export as export_student
from pdistill.core.errors import BackendError
from pdistill.core.money.cost import tokens_spent
from pdistill.core.setup.config import Config
from pdistill.core.store.rows import read_rows
from pdistill.core.store.rundir import RunDirectory, find_run
from tests.backends.faults import Call, Fault
from tests.backends.proxy import Proxy
from tests.backends.tinker.runs import OPTIONS, copy_of, small_config
from tests.backends.tinker.server import BUILTIN, KEY
from tests.runs import Said


def note(run: Path) -> dict[str, object]:
    return dict(json.loads((run / "adapter" / export.NOTE).read_text()))


def test_local_copy_answers_as_on_the_service_without_an_account(
    evaluated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TINKER_API_KEY")
    monkeypatch.setenv("TINKER_BASE_URL", "http://127.0.0.1:1")
    there = list(read_rows(evaluated / "predictions-student.jsonl"))
    with open_arm(RunDirectory(evaluated)) as student:
        here = [answer.text for answer in student.answer(Query(row["query"]) for row in there)]
    assert here == [row["response"] for row in there]
    found = note(evaluated)
    assert found["checked"] is True
    assert float(str(found["difference"])) < 1e-3


@pytest.mark.parametrize("merge", [False, True])
def test_local_copy_is_exported_without_an_account(
    evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, merge: bool
) -> None:
    monkeypatch.delenv("TINKER_API_KEY")
    monkeypatch.setenv("TINKER_BASE_URL", "http://127.0.0.1:1")
    there = {row["query"]: row["response"] for row in read_rows(evaluated / "predictions-student.jsonl")}
    parity = export_student(RunDirectory(evaluated), tmp_path / "out", merge=merge)
    assert parity.queries == parity.equal == len(there)
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    private = [KEY.encode(), b"127.0.0.1", *(str(place).encode() for place in (BUILTIN, evaluated, tmp_path))]
    assert not [path.name for path in files if any(word in path.read_bytes() for word in private)]
    if not merge:
        settings = tmp_path / "out" / export.CONFIG
        config = json.loads(settings.read_text())
        assert config["base_model_name_or_path"] == "Qwen/Qwen3-30B-A3B"
        settings.write_text(
            json.dumps({**config, "base_model_name_or_path": str(BUILTIN)})
        )  # the hub is out of reach here
    plain = TransformersExport(tmp_path / "out", "cpu")
    queries = list(there)
    assert {queries[place]: answer.text for place, answer in plain.answers(queries)} == there


def test_student_only_on_the_service_is_not_exported(answered: Path, tmp_path: Path) -> None:
    run = copy_of(answered, tmp_path / "run")
    _with_base(run, "none")
    pipeline.train(find_run(str(run)), {"epochs": 1})
    pipeline.evaluate(find_run(str(run)))
    with pytest.raises(BackendError, match="is only on its service: .* see pdistill report for the reason"):
        export_student(RunDirectory(run), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_report_says_that_it_was_checked(evaluated: Path) -> None:
    report = json.loads((evaluated / "report.json").read_text())
    assert report["remote"] == note(evaluated)
    asked = tokens_spent(RunDirectory(evaluated))["train"]["student"]
    assert (asked.prompt, asked.sampled) == (note(evaluated)["prompt_tokens"], note(evaluated)["examples"])
    assert asked.prompt > asked.sampled > 0
    assert "The student is on this machine too" in (evaluated / "report.md").read_text()


def test_the_adapter_is_in_pefts_format_and_names_the_model(evaluated: Path) -> None:
    files = {path.name for path in (evaluated / "adapter").iterdir()}
    assert {export.CONFIG, export.WEIGHTS, export.NOTE} <= files
    assert export.CARD not in files
    config = json.loads((evaluated / "adapter" / export.CONFIG).read_text())
    assert config["base_model_name_or_path"] == "Qwen/Qwen3-30B-A3B"


def test_no_file_of_a_run_holds_the_key(evaluated: Path) -> None:
    files = [path for path in evaluated.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("base", "reason"),
    [
        ("none", "-B base=none turns the check off"),
        ("auto", "are not on this machine; name them with -B base=PATH"),
        ("no-such-folder/x/y", "there is no model directory 'no-such-folder/x/y'"),
    ],
)
def test_an_adapter_that_cannot_be_checked_stays_on_the_service(
    base: str, reason: str, answered: Path, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    run, said = copy_of(answered, tmp_path / "run"), Said()
    _with_base(run, base)
    pipeline.train(find_run(str(run)), {"epochs": 1}, said)
    assert note(run)["checked"] is False
    assert reason in str(note(run)["reason"])
    assert sum(
        line.startswith("the adapter could not be checked, so the student answers on the service")
        for line in said.lines
    )
    watched = proxy()
    with open_arm(RunDirectory(run)) as student:
        (answer,) = student.answer([Query("Guten Tag")])
    assert answer.finish in ("stop", "length")
    assert len(watched.of_kind("sampling")) == 1


def test_adapter_that_cannot_be_downloaded_stays_on_the_service(
    answered: Path, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    def refused(call: Call) -> Fault | None:
        return Fault(status=422) if call.path.endswith("/save_weights_external") else None

    run = copy_of(answered, tmp_path / "run")
    proxy(plan=refused)
    pipeline.train(find_run(str(run)), {"epochs": 1})
    assert not (run / "adapter" / export.WEIGHTS).exists()
    assert "it could not be downloaded: the Tinker service refuses the request (422)" in str(note(run)["reason"])
    pipeline.evaluate(find_run(str(run)))
    assert RunDirectory(run).evaluated


def _with_base(run: Path, base: str) -> None:
    """Change the `-B base=` that the run was started with."""
    config: Config = small_config(run)
    asked = json.loads((run / "run.json").read_text())
    asked["options"] = replace(config, backend_options={**OPTIONS, "base": base}).asked()
    (run / "run.json").write_text(json.dumps(asked))
