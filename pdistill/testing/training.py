"""The contract of students and trainers, one function per requirement."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from pdistill.core.contract.batches import Batch, HardRow, PolicyRow, SoftRow, hard_batch, hard_row
from pdistill.core.contract.interfaces import (
    Lora,
    Renderer,
    StateURI,
    Student,
    Trainer,
    WeightsURI,
    capabilities_of,
)
from pdistill.core.errors import PdistillError
from pdistill.testing.bench import EXAMPLES, QUERIES, Bench, answers, bare_prompt, texts

STEPS = 8
LORA = Lora(rank=4)
ADAPTER = WeightsURI("adapter")


def training_lowers_the_loss(bench: Bench) -> None:
    """Training on one batch lowers its loss, and the trained tokens are counted."""
    student = bench.student()
    batch = batch_of(student.renderer())
    with student.trainer(LORA, None) as trainer:
        metrics = [trainer.step(batch, student.defaults.learning_rate) for _ in range(STEPS)]
        losses = [future.result().loss for future in metrics]
        tokens = metrics[0].result().tokens
    assert losses[-1] < losses[0], f"{STEPS} steps on one batch changed the loss from {losses[0]} to {losses[-1]}"
    trained = sum(weight > 0 for row in batch.rows for weight in row.weights)
    assert tokens == trained, f"a step reports {tokens} trained tokens, but {trained} have a weight above 0"


def takes_every_kind_of_batch(bench: Bench) -> None:
    """The student can train with each objective among its capabilities."""
    student = bench.student()
    hard = [row for row in batch_of(student.renderer()).rows if isinstance(row, HardRow)]
    soft = [SoftRow(r.ids, [(t, 0) for t in r.targets], [(0.9, 0.1)] * len(r.targets), r.weights) for r in hard]
    policy = [PolicyRow(r.ids, r.targets, [-1.0] * len(r.ids), [1.0] * len(r.ids), r.weights) for r in hard]
    batches = {"train-hard": Batch(hard), "train-soft": Batch(soft), "train-policy": Batch(policy)}
    with student.trainer(LORA, None) as trainer:
        for capability, batch in batches.items():
            if capability in capabilities_of(student):
                loss = trainer.step(batch, student.defaults.learning_rate).result().loss
                assert math.isfinite(loss), f"the loss of {batch.loss} is {loss}"


def futures_finish_in_order(bench: Bench) -> None:
    """A save that is submitted after some steps is done after them."""
    student = bench.student()
    batch = batch_of(student.renderer())
    with student.trainer(LORA, None) as trainer:
        steps = [trainer.step(batch, student.defaults.learning_rate) for _ in range(3)]
        trainer.save_weights("order").result()
        late = [number for number, step in enumerate(steps) if not step.done()]
    assert not late, f"save_weights() was done before the steps {late}, which were submitted earlier"


def resumes_where_it_stopped(bench: Bench) -> None:
    """Training that is stopped and resumed gives the same losses and weights as uninterrupted training."""
    student = bench.student()
    batch, rate = batch_of(student.renderer()), student.defaults.learning_rate
    start = initial_state(student)
    with student.trainer(LORA, start) as trainer:
        losses = [trainer.step(batch, rate).result().loss for _ in range(STEPS)]
        whole = export_files(trainer, trainer.save_weights("whole").result(), bench.directory / "whole")
    with student.trainer(LORA, start) as trainer:
        again = [trainer.step(batch, rate).result().loss for _ in range(STEPS // 2)]
        state: StateURI = trainer.save_state("half").result()
    fresh = bench.student()
    with fresh.trainer(LORA, state) as trainer:
        again += [trainer.step(batch, rate).result().loss for _ in range(STEPS - STEPS // 2)]
        halves = export_files(trainer, trainer.save_weights("halves").result(), bench.directory / "halves")
    fresh.release(state)
    fresh.release(start)
    if bench.exact:
        differ = [name for name in whole if whole[name] != halves.get(name)]
        assert not differ, f"after stopping and resuming, these files of the export differ: {', '.join(differ)}"
    assert same_losses(bench, losses, again), f"after stopping and resuming, the losses are {again} and not {losses}"


def steps_may_be_sent_ahead(bench: Bench) -> None:
    """Steps submitted before the previous ones are done give the same losses as steps submitted one by one."""
    student = bench.student()
    batch, rate = batch_of(student.renderer()), student.defaults.learning_rate
    start = initial_state(student)
    with student.trainer(LORA, start) as trainer:
        waited = [trainer.step(batch, rate).result().loss for _ in range(STEPS)]
    with student.trainer(LORA, start) as trainer:
        sent = [trainer.step(batch, rate) for _ in range(STEPS)]
        ahead = [future.result().loss for future in sent]
    student.release(start)
    assert same_losses(bench, waited, ahead), f"with steps submitted ahead, the losses are {ahead} and not {waited}"


def releases_more_than_once(bench: Bench) -> None:
    """Something already released, or missing, may be released again: a run that was killed does that."""
    student = bench.student()
    state = initial_state(student)
    student.release(state)
    try:
        student.release(state)
    except (PdistillError, OSError) as error:
        raise AssertionError(f"releasing {state!r} a second time raised: {error}") from error


def training_leaves_the_base_alone(bench: Bench) -> None:
    """The base's answers are the same after training as before, and the trained weights can be opened."""
    student = bench.student()
    prompts = [bare_prompt(student.renderer(), query) for query in QUERIES]
    with student.sampler(None) as sampler:
        before = answers(sampler, prompts)
    weights = train(student)
    with student.sampler(None) as sampler:
        after = answers(sampler, prompts)
    assert after == before, "the base's answers changed; sampler(None) must open the model as it was before training"
    with student.sampler(weights) as sampler:
        assert len(answers(sampler, prompts)) == len(prompts), f"sampler({weights!r}) left requests unanswered"


def exports_the_student(bench: Bench) -> None:
    """The export is a directory of files, and gives the same answers as the exported weights."""
    student = bench.student()
    prompts = [bare_prompt(student.renderer(), query) for query in QUERIES]
    weights = train(student, export=bench.directory / ADAPTER)
    assert any((bench.directory / ADAPTER).iterdir()), "export() wrote no file into its directory"
    with student.sampler(weights) as sampler:
        expected = answers(sampler, prompts)
    with bench.student().sampler(ADAPTER) as sampler:
        actual = answers(sampler, prompts)
    assert actual == expected, f"sampler({ADAPTER!r}) answers {texts(actual)}, the weights {texts(expected)}"


CHECKS: tuple[Callable[[Bench], None], ...] = (
    training_lowers_the_loss,
    takes_every_kind_of_batch,
    futures_finish_in_order,
    resumes_where_it_stopped,
    steps_may_be_sent_ahead,
    releases_more_than_once,
    training_leaves_the_base_alone,
    exports_the_student,
)


def batch_of(renderer: Renderer) -> Batch:
    """Return the examples as one batch."""
    rows = []
    for query, target in EXAMPLES:
        prompt = bare_prompt(renderer, query)
        rows.append(hard_row(renderer.prompt_ids(prompt), renderer.target_ids(prompt, target)))
    return hard_batch(rows)


def initial_state(student: Student) -> StateURI:
    """Return a saved state before the first step."""
    with student.trainer(LORA, None) as trainer:
        return trainer.save_state("start").result()


def same_losses(bench: Bench, losses: Sequence[float], others: Sequence[float]) -> bool:
    """Return whether losses are equal, or nearly equal if the backend is not exact."""
    if bench.exact:
        return list(losses) == list(others)
    return all(math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-3) for a, b in zip(losses, others, strict=True))


def train(student: Student, export: Path | None = None) -> WeightsURI:
    """Return the weights after some steps, exported if a directory is given."""
    batch = batch_of(student.renderer())
    with student.trainer(LORA, None) as trainer:
        for _ in range(STEPS):
            trainer.step(batch, student.defaults.learning_rate).result()
        weights = trainer.save_weights("trained").result()
        if export is not None:
            export_files(trainer, weights, export)
    return weights


def export_files(trainer: Trainer, weights: WeightsURI, directory: Path) -> dict[str, bytes]:
    """Export weights, and return the contents of the exported files by name."""
    directory.mkdir()
    trainer.export(weights, directory)
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}
