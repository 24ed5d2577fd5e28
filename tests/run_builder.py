"""Run directories made from typed rows: a test of one room builds its world without running any stage.

Only `store` writes the files here, and `Config` names the options: nothing is sampled and nothing is trained.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from pdistill.backends.fake.linear import LinearModel, Node
from pdistill.backends.fake.renderer import FakeRenderer
from pdistill.core.contract.interfaces import TokenScores, TrainingDefaults
from pdistill.core.contract.queries import Query
from pdistill.core.contract.sampling import Finish
from pdistill.core.contract.task import FileTask
from pdistill.core.files import write_file
from pdistill.core.numerics.schedule import Schedule, plan
from pdistill.core.numerics.split import HELD_OUT, Split
from pdistill.core.probes.questions import probe_rows
from pdistill.core.setup.config import TRAIN_KEYS, Config
from pdistill.core.store.answerrow import AnswerRow
from pdistill.core.store.example import Example
from pdistill.core.store.rows import encode, write_rows
from pdistill.core.store.rundir import ARMS, PROBES, PROMPTED, RunDirectory
from pdistill.core.store.settings import EvaluateSettings, GenerateSettings, TrainOptions, TrainSettings
from pdistill.core.version import versions

PROMPT = "Name the kind.\nAnimal:animal\nFruit:fruit\nOther:other"
FRAME = "{query}"
LABELS = ("animal", "fruit", "other")
TEACHER_TOKENS, STUDENT_TOKENS = 60, 10
"""Input tokens of every answer with the prompt, and of every answer without it."""
NOT_A_LABEL = "not one of the labels"

Stage = Literal["opened", "generate", "train", "evaluate"]
STAGES: tuple[Stage, ...] = ("opened", "generate", "train", "evaluate")
UNTRAINED: list[dict[str, Any]] = LinearModel({(): Node()}).to_json(optimizer=False)
"""The weights of a student of the fake backend that answers as its base does."""
DEFAULTS = TrainingDefaults(learning_rate=0.5, epochs=4, batch_size=32, min_steps=40)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one query.

    Args:
        target: the teacher's answer, which is learnt; None: it is no label, and rejected.
        split: whether it is trained on or held out.
        arms: the arms' answers to it, where it is held out. Those that are not given are the target, but the base's,
            which is the query.
        responses: the teacher's samples; by default one, the target.
        group: the id of the group's first query, by default its own.
        confidence: the share of the samples with the target.
    """

    query: Query
    target: str | None = "animal"
    split: Split = "train"
    arms: Mapping[str, str] = field(default_factory=dict)
    responses: tuple[str, ...] = ()
    group: str = ""
    confidence: float | None = None

    def example(self) -> Example:
        """Return the row of examples.jsonl."""
        rejected = NOT_A_LABEL if self.target is None else None
        group = self.group or self.query.id
        return Example(self.query.number, self.query.id, self.split, group, self.target, rejected, self.confidence)

    def samples(self) -> tuple[str, ...]:
        """Return the teacher's answers."""
        return self.responses or (self.target or "none of them",)

    def answer(self, arm: str) -> str:
        """Return an arm's answer."""
        default = self.query.text if arm == "base" else self.samples()[0]
        return self.arms.get(arm, default)


def every_fifth_held_out(query: Query) -> Outcome:
    """Return the outcome of a query whose label is "animal"; every fifth query is held out."""
    return Outcome(query, split="train" if query.number % 5 else "eval")


def outcomes(
    texts: Iterable[str], make: Callable[[Query], Outcome] = every_fifth_held_out, **fields: Any
) -> list[Outcome]:
    """Return an outcome per text.

    Args:
        make: returns what becomes of a query.
        fields: of every query, such as its reference.
    """
    return [make(Query(text, **fields).at(number)) for number, text in enumerate(texts)]


def answer_row(query: Query, text: str, *, prompted: bool, sample: int = 0, finish: Finish = "stop") -> AnswerRow:
    """Return an answer as it is stored."""
    model_input = f"{PROMPT if prompted else ''}{query.text}".encode("utf-8", "surrogatepass")
    return AnswerRow(
        number=query.number,
        id=query.id,
        query=query.text,
        prompt=sha256(model_input).hexdigest()[:16],
        response=text,
        finish=finish,
        prompt_tokens=TEACHER_TOKENS if prompted else STUDENT_TOKENS,
        tokens=1 + len(text.split()),
        sample=sample,
    )


def build_run(
    path: Path,
    rows: Sequence[Outcome],
    *,
    until: Stage = "evaluate",
    prompt_text: str = PROMPT,
    probes: Mapping[str, Sequence[str]] | None = None,
    same_model: bool = False,
    **options: Any,
) -> RunDirectory:
    """Return a run directory in which everything up to a stage is done, as if these rows had come of it.

    Args:
        until: the last stage that is complete.
        prompt_text: what the prompt's file holds, without its last newline.
        probes: the answers to the probes, by file ("leakage-student"); those that are not given are "animal". None: a run
            without probes.
        options: as of Config, which by default are those of a task of three labels on the fake backend.
    """
    values: dict[str, Any] = {"prompt": path.parent / "prompt.txt", "queries": path.parent / "queries.jsonl"}
    config = Config(
        **{**values, "labels": LABELS, "backend": "fake", "run_dir": path, "no_probes": probes is None, **options}
    )
    path.mkdir(parents=True, exist_ok=True)
    run, reached = RunDirectory(path), STAGES.index(until)
    _open(run, config, rows, prompt_text, probes)
    if reached >= STAGES.index("generate"):
        _generate(run, config, rows)
    if reached >= STAGES.index("train"):
        add_student(run, config, sum(row.example().trained_on for row in rows))
    if reached >= STAGES.index("evaluate"):
        _evaluate(run, rows, same_model)
    return run


def _open(
    run: RunDirectory,
    config: Config,
    rows: Sequence[Outcome],
    prompt: str,
    probes: Mapping[str, Sequence[str]] | None,
) -> None:
    lines = [row.query.as_row() for row in rows]
    hashes: dict[str, Any] = {name: sha256(text.encode()).hexdigest() for name, text in _texts(prompt).items()}
    hashes |= {"queries": sha256(b"".join(map(encode, lines))).hexdigest(), "count": len(rows)}
    run.write_json("run.json", {"schema": 1, "options": config.asked(), "hashes": hashes, "versions": versions()})
    for name, text in _texts(prompt).items():
        write_file(run.path / f"{name}.txt", text.encode())
    write_rows(run.queries, lines, run.seal)
    if probes is not None:
        task = FileTask(config.labels).bound(prompt=prompt, student_frame=FRAME)
        add_probes(run, task, probes)
    run.write_settings(settings_of(config, len(rows)))


def _texts(prompt: str) -> dict[str, str]:
    return {"prompt": prompt, "student_prompt": FRAME}


def settings_of(config: Config, count: int) -> GenerateSettings:
    """Return what generate.json holds of these options, for `count` queries."""
    teacher = f"{config.backend}:{config.teacher or 'rule'}"
    return GenerateSettings(
        task=config.name,
        teacher=teacher,
        student=teacher if config.student is None else f"{config.backend}:{config.student}",
        format="chat",
        seed=config.seed,
        held_out=HELD_OUT,
        count=count,
        samples=config.samples,
        select=config.select,
        min_confidence=config.min_confidence,
        temperature=config.temperature,
        top_p=config.top_p,
        max_tokens=config.max_tokens or FileTask.max_tokens,
        stop=config.stop,
        stop_at_newline=False,
        constrain=None,
        renderer=dict(FakeRenderer().identity()),
        resolved={"teacher": {}, "student": {}},
    )


def _generate(run: RunDirectory, config: Config, rows: Sequence[Outcome]) -> None:
    answers = (
        answer_row(row.query, text, prompted=True, sample=sample)
        for row in rows
        for sample, text in enumerate(row.samples())
    )
    _store(run, run.responses(config.samples).path, answers)
    write_rows(run.examples, (row.example().as_row() for row in rows), run.seal)


def add_student(run: RunDirectory, config: Config, count: int) -> None:
    """Guarantee that the run has a trained student of `count` examples, which answers as its base does."""
    given = {name: getattr(config, name) for name in ("batch_size", "epochs", "learning_rate")}
    schedule, _ = plan(count, DEFAULTS, seed=config.seed, **given)
    settings = TrainSettings(
        options=TrainOptions(**{key: getattr(config, key) for key in TRAIN_KEYS}),
        student=settings_of(config, count).student,
        schedule=schedule,
        renderer=dict(FakeRenderer().identity()),
        resolved={"student": {}},
    )
    run.write_settings(settings)
    write_rows(run.metrics().path, _steps(schedule), run.seal)
    run.adapter.mkdir()
    run.write_json("adapter/adapter_weights.json", {"nodes": UNTRAINED})


def _steps(schedule: Schedule) -> Iterator[dict[str, Any]]:
    for step in range(schedule.steps):
        loss = {"step": step + 1, "loss": round(2 * 0.95**step, 6), "tokens": 2 * schedule.batch_size}
        yield {**loss, "sequence_tokens": STUDENT_TOKENS * schedule.batch_size, "learning_rate": schedule.rate(step)}


def _evaluate(run: RunDirectory, rows: Sequence[Outcome], same_model: bool) -> None:
    settings = EvaluateSettings(same_model=same_model, left_out={}, resolved={"teacher": {}, "student": {}})
    run.write_settings(settings)
    held_out = [row for row in rows if row.split == "eval"]
    for arm in ARMS:
        answers = (answer_row(row.query, row.answer(arm), prompted=arm in PROMPTED) for row in held_out)
        _store(run, run.predictions(arm).path, answers)


def add_probes(run: RunDirectory, task: FileTask, answers: Mapping[str, Sequence[str]]) -> None:
    """Guarantee that the run has the probes of this task, all of them answered.

    Args:
        answers: by probe and arm ("leakage-student"), the answers to its first questions; the others are "animal".
    """
    questions = list(probe_rows(task))
    write_rows(run.probes, questions, run.seal)
    for probe, arms in PROBES.items():
        own = [row for row in questions if row["probe"] == probe]
        for arm in arms:
            texts = [*answers.get(f"{probe}-{arm}", ()), *["animal"] * len(own)][: len(own)]
            rows = (
                AnswerRow(
                    number, row["id"], row["query"], "0" * 16, text, "stop", STUDENT_TOKENS, 2, scores=_scores(probe)
                )
                for number, (row, text) in enumerate(zip(own, texts, strict=True))
            )
            _store(run, run.probe(probe, arm).path, rows)


def _scores(probe: str) -> TokenScores | None:
    return TokenScores((-0.1, -0.2), ((1, 2), (3, 4)), ((-0.1, -3.0), (-0.2, -2.5))) if probe == "retention" else None


def _store(run: RunDirectory, path: Path, answers: Iterable[AnswerRow]) -> None:
    write_rows(path, (answer.as_row() for answer in answers), run.seal)
