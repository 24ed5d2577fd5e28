"""Opening a run: a new one gets its own copies of prompt and queries, an existing one must have the same options."""

import shutil
from typing import Any

from pdistill.core.answers.reuse import SAME
from pdistill.core.contract.jsontext import JsonObject, OptionValues
from pdistill.core.errors import RunError, UsageError
from pdistill.core.files import new_directory, write_file
from pdistill.core.probes.proportion import probes_of
from pdistill.core.setup.config import GENERATE_KEYS, TRAIN_KEYS, Config
from pdistill.core.setup.inputs import Fingerprint, RunInputs
from pdistill.core.setup.models import ModelSpecs, resolve_model, row_options
from pdistill.core.setup.opened_run import OpenedRun
from pdistill.core.setup.plan import Plan, earlier_student
from pdistill.core.store.rows import write_rows
from pdistill.core.store.rundir import HASHED, RunDirectory, differences
from pdistill.core.store.settings import GenerateSettings, TrainOptions, TrainSettings
from pdistill.core.version import versions

BEGUN = "run.json.part"
"""What a run that was stopped while it wrote its first file leaves."""
SINCE = {"constrain": False, "no_probes": False}
"""The values of options that older runs do not record."""


def begin_run(plan: Plan, config: Config, fingerprint: Fingerprint, run: RunDirectory) -> None:
    """Guarantee that run.json, the copies of prompt, queries and start, and generate.json are stored, in this order."""
    if not run.exists:
        content = {"options": config.asked(), "hashes": fingerprint.as_row(), "versions": versions()}
        run.write_json("run.json", {"schema": 1, **content})
    store(plan.inputs, probes_of(plan, config), run)
    if config.warm_start and not run.start.exists():
        with new_directory(run.start) as folder:
            shutil.copytree(earlier_student(config).adapter, folder, dirs_exist_ok=True)
    run.write_settings(plan.settings)


def store(inputs: RunInputs, probes: list[JsonObject] | None, run: RunDirectory) -> None:
    """Guarantee that the run directory holds its own copy of prompts, frame, schema, queries and the probes' questions.

    Args:
        probes: None: a run without probes.
    """
    for name, text in inputs.texts().items():
        write_file(run.path / name, text.encode())
    write_rows(run.queries, (query.as_row() for query in inputs.queries()), run.seal)
    if probes is not None:
        write_rows(run.probes, probes, run.seal)


def check_same(config: Config, specs: ModelSpecs, fingerprint: Fingerprint, run: RunDirectory) -> None:
    """Guarantee that the run, if there is one, was made with these options from this prompt and these queries.

    Models are compared as they were resolved, however they are written.

    Raises:
        RunError: it was made with others; the error lists the keys that differ.
        UsageError: there is no run, but something else in its directory.
    """
    if not run.exists:
        _require_free(run)
        return
    asked, options = run.asked(), config.asked()
    now = {key: options[key] for key in GENERATE_KEYS} | {key: fingerprint.hashes.get(key) for key in HASHED}
    before = {**SINCE, **asked["options"], **asked["hashes"]}
    for values in (before, now):
        values["backend_options"] = row_options(values["backend_options"])
    settings = run.stored(GenerateSettings)
    if settings is not None and specs["teacher"].id == settings.teacher:
        now["teacher"] = before["teacher"]
        if specs["student"].id == settings.student:
            now["backend"] = before["backend"]
    differing = differences(before, now)
    if differing:
        reuse = f", with --from {run.path} to reuse the answers that are the same" if _reusable(before, now) else ""
        raise RunError(
            f"the run in '{run.path}' was made with other options: {', '.join(differing)}; take another --run-dir{reuse}"
        )


def _reusable(before: JsonObject, now: JsonObject) -> bool:
    """Return whether a run with the options of now can reuse answers of one with those before."""
    changed = {key for key, value in now.items() if before.get(key) != value}
    if "prompt" in changed and not (before.get("prompts") and now["prompts"]):
        return False
    return changed.isdisjoint({*SAME, "seed"} if now["temperature"] else SAME)


def _require_free(run: RunDirectory) -> None:
    """Guarantee that a new run takes no directory that holds something else.

    Raises:
        UsageError: it is not empty.
    """
    try:
        names = sorted(path.name for path in run.path.iterdir() if path.name != BEGUN)
    except OSError:  # it does not exist, or can't be used, which is said where it is locked
        return
    if names:
        raise UsageError(
            f"'{run.path}' is not empty and holds no run (there is '{names[0]}'); give --run-dir a new or an empty directory"
        )


def check_as_begun(run: RunDirectory, config: Config) -> None:
    """Guarantee that training options which the run was started with are not dropped silently.

    Raises:
        RunError: an option has a different value now.
    """
    asked, now, default = run.asked()["options"], config.asked(), Config(task="any").asked()
    initial = {key: asked[key] for key in TRAIN_KEYS if asked[key] != default[key]}
    settings = run.settings(GenerateSettings)
    if _student(now["student"], config, settings) == settings.student:
        now["student"] = asked["student"]
    differing = differences(initial, {key: now[key] for key in initial})
    if differing and run.stored(TrainSettings) is None:
        raise RunError(
            f"the run in '{run.path}' was started with other options: {', '.join(differing)}; give the same options, or "
            f"train with others: pdistill train {run.path}"
        )


def train_options(run: OpenedRun, stored: TrainSettings | None, given: OptionValues) -> TrainOptions:
    """Return the training options: the stored ones, or else those of the run, overridden by what is given now.

    Raises:
        RunError: the student is trained with other options.
    """
    if stored is None:
        asked = run.config.asked()
        return TrainOptions(**{key: asked[key] for key in TRAIN_KEYS} | dict(given))
    before, now = stored.options.as_row(), dict(given)
    if "student" in now and _student(now["student"], run.config, run.settings) == stored.student:
        now["student"] = before["student"]
    differing = differences(before, now)
    if differing:
        path = run.directory.path
        raise RunError(
            f"the student in '{path}' is trained with other options: {', '.join(differing)}; "
            f"take another --run-dir, with --from {path} to reuse the answers"
        )
    return stored.options


def _student(named: Any, config: Config, settings: GenerateSettings) -> str:
    """Return a student as BACKEND:MODEL; it is the teacher's model where none is named."""
    return resolve_model(named or settings.teacher, "student", config.backend, config.backend_options).id
