"""Compares the default job in pdistill with a plain script that uses generate and TRL: seconds, memory, and the metrics.

usage: python benchmarks/whole_job/compare.py --peer-python VENV/bin/python --out FILE.json [--limit N]

The peer's environment is that of benchmarks/training. Both run once, in a process of their own, one after the other, on
the same model, queries, split and arms, for as many epochs at the same learning rate. The seconds of a side count from the
start of its process to its end, including imports.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from measuring import machine

ARMS = ("teacher", "base", "base_prompted", "student", "student_prompted")
STAGES = ("generate", "train", "evaluate")


def main() -> None:
    """Run both sides, print their table and save the measurements."""
    options = parsed()
    with tempfile.TemporaryDirectory() as folder:
        ours = by_pdistill(options, Path(folder))
        plain = by_plain(options, Path(folder))
    shown(ours, plain)
    report = {
        "options": {key: getattr(options, key) for key in ("limit", "threads", "prompted_batch", "bare_batch", "part")},
        "machine": machine("torch", "transformers", "peft"),
        "pdistill": ours,
        "plain": plain,
        "ratio": plain["whole"] / ours["whole"],
    }
    options.out.write_text(json.dumps(report, indent=1) + "\n")


def parsed() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="number of queries, for both sides; default: all 2,751")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--prompted-batch", type=int, default=8, help="batch size with the prompt")
    parser.add_argument("--bare-batch", type=int, default=64, help="batch size without the prompt")
    parser.add_argument("--part", type=int, default=16, help="rows per device batch of TRL's trainer")
    return parser.parse_args()


def by_pdistill(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run `pdistill run` in `folder`, and return its measurements."""
    run = folder / "run"
    limit = [] if options.limit is None else ["--limit", str(options.limit)]
    command = [sys.executable, "-m", "pdistill", "run", "--task", "langid", "--run-dir", str(run), *limit]
    took, _ = ran(command, options)
    report = json.loads((run / "report.json").read_text())
    arms = {arm: {by: report["arms"][arm][by]["value"] for by in ("agreement", "accuracy")} for arm in ARMS}
    return {**took, "seconds": report["seconds"], "arms": arms}


def by_plain(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return the measurements of the plain script on the same job."""
    from pdistill.backends.local.model.loading import find_model
    from pdistill.core.setup.opened_run import reopen
    from pdistill.core.store.example import Example
    from pdistill.core.store.rows import read_records
    from pdistill.core.store.rundir import RunDirectory
    from pdistill.core.store.settings import TrainSettings

    run = RunDirectory(folder / "run")
    opened, trained = reopen(run), run.settings(TrainSettings)
    parts = {example.id: example.split for example in read_records(Example, run.examples)}
    job = {
        "model": str(find_model("builtin").folder),
        "prompt": opened.task.prompt,
        "labels": opened.task.labels,
        "queries": [
            {"id": query.id, "query": query.text, "reference": query.reference, "part": parts[query.id]}
            for query in opened.queries()
        ],
        "max_tokens": opened.settings.max_tokens,
        "rank": trained.options.rank,
        **{key: getattr(trained.schedule, key) for key in ("epochs", "batch_size", "learning_rate")},
        **{key: getattr(options, key) for key in ("prompted_batch", "bare_batch", "part")},
        "output": str(folder / "trl"),
    }
    file = folder / "job.json"
    file.write_text(json.dumps(job))
    took, said = ran([options.peer_python, str(HERE / "plain.py"), str(file)], options)
    line = next(line for line in said.splitlines() if line.startswith("RESULT "))
    return {**took, **json.loads(line.removeprefix("RESULT "))}


def ran(command: list[str], options: argparse.Namespace) -> tuple[dict[str, float], str]:
    """Return the seconds and peak memory of a process, and its output."""
    began = time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    process = subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command} ended with status {status}")
    return {
        "whole": time.perf_counter() - began,
        "processor_seconds": used.ru_utime + used.ru_stime,
        "peak_mib": used.ru_maxrss / 1024,
    }, said


def shown(ours: dict[str, Any], plain: dict[str, Any]) -> None:
    """Print both sides and their ratios."""
    print(f"{'seconds':18}{'pdistill':>10}{'plain':>10}{'ratio':>8}")
    rows = [("whole", ours["whole"], plain["whole"])]
    rows += [(stage, ours["seconds"][stage], plain["seconds"][stage]) for stage in STAGES]
    rows += [("by processors", ours["processor_seconds"], plain["processor_seconds"])]
    rows += [("peak MiB", ours["peak_mib"], plain["peak_mib"])]
    for name, one, other in rows:
        print(f"{name:18}{one:10.1f}{other:10.1f}{other / one:8.2f}")
    print(f"\n{'agreement, accuracy':22}{'pdistill':>16}{'plain':>16}")
    for arm in ARMS:
        pair = [f"{side['arms'][arm]['agreement']:.3f}, {side['arms'][arm]['accuracy']:.3f}" for side in (ours, plain)]
        print(f"{arm:22}{pair[0]:>16}{pair[1]:>16}")


if __name__ == "__main__":
    main()
