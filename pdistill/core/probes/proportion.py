"""How many of the probes' questions a run asks: as many as cost at most a quarter of the teacher's pass."""

from collections.abc import Iterator

from pdistill.core.contract.interfaces import Remote
from pdistill.core.contract.jsontext import JsonObject, Row
from pdistill.core.probes.asking import sampling_of
from pdistill.core.probes.questions import probe_rows
from pdistill.core.setup.config import Config
from pdistill.core.setup.plan import Plan
from pdistill.core.store.rundir import PROBES

MOST_OF_THE_PASS = 0.25
"""Fraction of the tokens of the teacher's pass that all probes together may take."""
LEAST_QUESTIONS = 4
"""Questions below which a probe is left out."""
CHARACTERS_PER_TOKEN = 4
ANSWER_TOKENS = 32
"""Tokens that an answer is taken to have where no labels say how long it is."""


def probes_of(planned: Plan, config: Config) -> list[JsonObject] | None:
    """Return the rows of probes.jsonl, or None without probes.

    The tokens of both sides are estimated from characters. A prompt that many calls share counts once where the backend
    reads it once, and with every call where a service does.
    """
    if config.no_probes:
        return None
    rows = list(probe_rows(planned.inputs.task))
    share = MOST_OF_THE_PASS * _pass_tokens(planned) / sum(_tokens(row, planned) for row in rows)
    if share >= 1:
        return rows
    return [row for probe in PROBES for row in _spread([row for row in rows if row["probe"] == probe], share)]


def _spread(rows: list[JsonObject], share: float) -> Iterator[JsonObject]:
    """Yield this fraction of the rows, evenly spread over all of them, with new numbers; none if it is too few."""
    count = int(share * len(rows))
    if count >= LEAST_QUESTIONS:
        for number in range(count):
            yield {**rows[number * len(rows) // count], "number": number}


def _pass_tokens(planned: Plan) -> float:
    task, settings = planned.inputs.task, planned.settings
    prompt = len(task.prompt) / CHARACTERS_PER_TOKEN if isinstance(planned.teacher, Remote) else 0
    return settings.samples * (planned.characters / CHARACTERS_PER_TOKEN + settings.count * (prompt + _answer(planned)))


def _tokens(row: Row, planned: Plan) -> float:
    """Return the tokens that all arms take for a question."""
    probe = row["probe"]
    texts = len(row["query"]) + len(row.get("rest", ""))
    tokens = 0.0
    for arm in PROBES[probe]:
        side = planned.teacher if arm == "teacher" else planned.student
        prompt = planned.inputs.task.prompt if arm == "teacher" else row.get("under") or ""
        longest = 1 if probe == "retention" else sampling_of(probe, arm, planned.settings).max_tokens
        answer = min(longest, _answer(planned)) if probe == "injection" else longest
        tokens += (texts + (len(prompt) if isinstance(side, Remote) else 0)) / CHARACTERS_PER_TOKEN + answer
    return tokens


def _answer(planned: Plan) -> float:
    """Return the tokens that an answer of the task is taken to have."""
    labels, most = planned.inputs.task.labels, planned.settings.max_tokens
    longest = ANSWER_TOKENS if labels is None else 1 + max(map(len, labels)) / CHARACTERS_PER_TOKEN
    return min(longest, most)
