"""`--max-cost` on the service: no stage sends a request that could exceed the limit, and the run can be resumed."""

import json
import re
from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner

from pdistill.cli.main import pdistill
from pdistill.core.money.cost import STAGES, by_side, tokens_spent
from pdistill.core.store.rundir import RunDirectory
from tests.backends.proxy import Proxy
from tests.backends.tinker.runs import flags, small_config, taken

PRICES = [f"-Bprice_{what}=1" for what in ("prompt", "sampled", "trained")]
"""USD per million tokens: a token of any kind costs a millionth of a dollar."""
ANSWERED = re.compile(r"responses\.|pre\w+-|probes-(?!retention)")
"""Files whose rows are answers; those of the retention probe are scores."""
SHARE = 0.7
"""Share of the cost of a stage that the limit leaves for it."""


def spent(run: Path) -> float:
    """Return the cost of all that is on disk, in USD."""
    return sum(tokens.total for tokens in by_side(tokens_spent(RunDirectory(run))).values()) / 1e6


def test_each_stage_stops_before_the_limit_on_the_service(
    evaluated: Path, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    run, watched = tmp_path / "run", proxy()
    counts: dict[str, float] = {
        stage: sum(tokens.total for tokens in sides.values()) / 1e6
        for stage, sides in tokens_spent(RunDirectory(evaluated)).items()
    }
    command = ["run", *flags(small_config(run)), *PRICES, "--force"]
    for number, stage in enumerate(STAGES):
        limit = sum(counts[name] for name in STAGES[:number]) + SHARE * counts[stage]
        result = CliRunner().invoke(pdistill, [*command, f"--max-cost={limit}"])
        assert result.exit_code == 1, result.output
        (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert f"stopped by --max-cost {limit:g}" in line
        assert "continue with the same command and a higher --max-cost, or none" in line
        assert (run / f"{stage}.json").exists()
        assert 0 < spent(run) <= limit
        answers = [asked for asked in taken(watched.calls) if not asked["prompt_logprobs"]]
        files = [file for file in run.glob("[pr]*.jsonl*") if ANSWERED.match(file.name)]
        rows = [line for file in files for line in file.read_text().splitlines()]
        assert len(answers) == sum(not json.loads(row).get("reused") for row in rows), "an answer was paid for and lost"
        steps = sum(seen.call.path.endswith("/forward_backward") for seen in watched.calls)
        assert steps == sum(file.read_bytes().count(b"\n") for file in run.glob("metrics.jsonl*"))
    result = CliRunner().invoke(pdistill, command)
    assert result.exit_code == 0, result.output
    assert RunDirectory(run).evaluated
