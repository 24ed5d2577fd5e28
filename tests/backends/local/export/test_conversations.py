"""Students whose queries are conversations: exported, served and measured with all their turns, framed as trained."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from pdistill.core import pipeline
from pdistill.core.delivery.ask import trained_student
from pdistill.core.delivery.export import as_asked, export
from pdistill.core.delivery.measure import measure
from pdistill.core.progress import Silent
from pdistill.core.setup.config import Config
from pdistill.core.store.heldout import HeldOut
from pdistill.core.store.rundir import RunDirectory
from tests.backends.tiny_models import make

FRAMES = {"bare": "{query}", "framed": "Kind of “{query}”?"}


@pytest.fixture(scope="module", params=FRAMES)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    folder = tmp_path_factory.mktemp("conversations")
    (folder / "prompt.txt").write_text("Name the kind.\nFirst:en\nSecond:de\nThird:ot\n")
    (folder / "frame.txt").write_text(FRAMES[request.param])
    with (folder / "queries.jsonl").open("w") as file:
        for at in range(40):
            turns = [{"role": "user", "content": f"first {at**5:x}"}, {"role": "assistant", "content": "en"}]
            last = [{"role": "user", "content": f"then {at**7:x}"}]
            file.write(json.dumps({"messages": [*(turns if at % 3 else []), *last]}) + "\n")
    config: Any = {"rank": 4, "epochs": 2, "seed": 1, "max_tokens": 4, "labels": ("en", "de", "ot")}
    pipeline.run(
        Config(
            prompt=folder / "prompt.txt",
            queries=folder / "queries.jsonl",
            student_prompt=folder / "frame.txt",
            teacher="fake:rule",
            student=f"local:{make('llama', folder / 'model')}",
            run_dir=folder / "run",
            **config,
        )
    )
    return RunDirectory(folder / "run")


@pytest.mark.parametrize("merge", [False, True])
def test_an_export_renders_and_answers_every_conversation_as_the_run_did(
    run: RunDirectory, tmp_path: Path, merge: bool
) -> None:
    parity = export(run, tmp_path / "out", merge=merge)
    assert parity.equal == parity.queries > 3
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path / "out")
    trained = trained_student(run)
    conversations = [query for query, _ in HeldOut(run) if query.earlier]
    assert conversations
    for query in conversations:
        asked = as_asked(query)
        assert not isinstance(asked, str)
        turns = [{"role": turn.role, "content": turn.content} for turn in asked.messages]
        ids = tokenizer.apply_chat_template(turns, return_dict=False)
        assert list(ids) == list(trained.student.renderer().prompt_ids(trained.task.student_prompt(query)))


@pytest.mark.slow
def test_conversations_are_measured(run: RunDirectory) -> None:
    figures = measure(run, 3, Silent())
    assert figures["student"]["prompt_tokens"] > 20
