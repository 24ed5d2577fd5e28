"""How a run is opened: begun with its own copies of prompt and queries, or found to be the one that is asked for."""

import shutil
from collections.abc import Mapping
from typing import Any

from pdistill.core.errors import RunError
from pdistill.core.files import storage_error, write_file
from pdistill.core.probes.questions import probe_rows
from pdistill.core.setup.config import GENERATE_KEYS, TRAIN_KEYS, Config
from pdistill.core.setup.models import changing_rows, sides
from pdistill.core.setup.plan import Plan, earlier_student
from pdistill.core.setup.work import Work
from pdistill.core.store.rows import write_rows
from pdistill.core.store.rundir import HASHED, RunDirectory, differences
from pdistill.core.version import versions


def open_run(plan: Plan, config: Config, hashes: Mapping[str, Any], run: RunDirectory) -> dict[str, Any]:
    """Return generate.json after run.json, the copies of prompt, queries and start, and itself have been written."""
    if not run.exists:
        run.write_json(
            "run.json", {"schema": 1, "options": config.asked(), "hashes": dict(hashes), "versions": versions()}
        )
    store(plan.work, run)
    if config.warm_start:
        keep_start(earlier_student(config), run)
    stage = {"task": config.name, "settings": plan.settings, "resolved": plan.resolved}
    run.write_json("generate.json", stage)
    return stage


def check_same(config: Config, work: Work, hashes: Mapping[str, Any], run: RunDirectory) -> None:
    """Guarantee that the run, if there is one, was made by these options from this prompt and these queries.

    Raises:
        UsageError: a backend or an option is mistyped.
        RunError: it was made otherwise; it lists the keys that differ.
    """
    sides(config, work.task)
    if not run.exists:
        return
    asked, options = run.asked(), config.asked()
    now = {key: options[key] for key in GENERATE_KEYS} | {key: hashes.get(key) for key in HASHED}
    before = {"constrain": False, **asked["options"], **asked["hashes"]}  # an older run knows no constrain
    for values in (before, now):
        values["backend_options"] = changing_rows(values["backend_options"])
    differing = differences(before, now)
    if differing:
        raise RunError(
            f"the run in '{run.path}' was made otherwise: {', '.join(differing)}; take another --run-dir, "
            f"with --from {run.path} to reuse the answers that are the same"
        )


def check_as_begun(run: RunDirectory, config: Config) -> None:
    """Guarantee that options of the training which the run was begun with are not dropped in silence.

    Raises:
        RunError: an option is another one now.
    """
    asked, now, default = run.asked()["options"], config.asked(), Config(task="any").asked()
    begun = {key: asked[key] for key in TRAIN_KEYS if asked[key] != default[key]}
    differing = differences(begun, {key: now[key] for key in begun})
    if differing and run.read_json("train.json") is None:
        raise RunError(
            f"the run in '{run.path}' was begun otherwise: {', '.join(differing)}; give the same options, or train "
            f"with others by pdistill train {run.path}"
        )


def train_options(
    run: RunDirectory, config: Config, stage: Mapping[str, Any] | None, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the options of the training: those of before, or as the run was asked, and then what was given now.

    Raises:
        RunError: the student is trained otherwise.
    """
    asked = config.asked()
    before = stage["options"] if stage else {key: asked[key] for key in TRAIN_KEYS}
    differing = differences(before, given) if stage else []
    if differing:
        raise RunError(
            f"the student in '{run.path}' is trained otherwise: {', '.join(differing)}; "
            f"take another --run-dir, with --from {run.path} to reuse the answers"
        )
    return {**before, **given}


def keep_start(earlier: RunDirectory, run: RunDirectory) -> None:
    """Guarantee that the run holds a copy of the earlier student, to begin the training with.

    Raises:
        RunError: it can't be written.
    """
    if run.start.exists():
        return
    part = run.start.with_suffix(".part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(earlier.adapter, part)
        part.replace(run.start)
    except OSError as error:
        raise storage_error(error, run.start) from None


def store(work: Work, run: RunDirectory) -> None:
    """Guarantee that the run directory holds its own copy of prompts, frame, schema, queries and the probes' questions."""
    for name, text in work.texts().items():
        write_file(run.path / name, text.encode())
    write_rows(run.queries, (query.as_row() for query in work.queries()), run.seal)
    write_rows(run.probes, probe_rows(work.task), run.seal)
