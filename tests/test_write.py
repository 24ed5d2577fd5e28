"""A fake model writes queries: which are kept, which are left out, where it stops, and that a kill changes nothing."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pdistill.backends.fake import FakeBackend, FakeOptions
from pdistill.core.contract.plugins import installed
from pdistill.core.contract.queryfiles import read_queries
from pdistill.core.errors import BackendError, PdistillError, RunError, TaskError, UsageError
from pdistill.core.numerics.split import Groups
from pdistill.core.writing import lines
from pdistill.core.writing.job import estimate_writing, write_queries
from pdistill.core.writing.kept import NEAR
from pdistill.core.writing.settings import WriteConfig
from tests.runs import contents
from tests.test_kill import killed_job
from tests.writers import LABELS, SEEDS, job, writer

Register = Callable[..., None]


@pytest.fixture(scope="module")
def register() -> Iterator[Register]:
    """Return a function that registers a fake backend whose model follows a script."""
    names = set[str]()

    def add(name: str, script: Callable[[str, str], str]) -> None:
        if name in names:
            installed().backends.remove(name)
        installed().backends.register(name, lambda given: FakeBackend(given, teacher=script), options=FakeOptions)
        names.add(name)

    add("writer", writer)
    yield add
    for name in names:
        installed().backends.remove(name)


@pytest.fixture
def config(register: Register, tmp_path: Path) -> WriteConfig:
    return job(tmp_path)


def rows(config: WriteConfig) -> list[dict[str, Any]]:
    return [json.loads(line) for line in config.output.read_text().splitlines()]


def test_queries_are_written_for_each_label_and_rule_and_none_is_like_another(config: WriteConfig) -> None:
    made = write_queries(config)
    written = rows(config)
    names = ["asked for repair", "asked for price", "rule 1: A message in capitals counts like any\u2026"]
    assert made.written == made.wanted == dict.fromkeys(names, 20)
    assert Counter(row["slices"][0] for row in written) == made.written
    assert all(row.keys() == {"query", "slices"} for row in written)
    texts = [*read_queries(config.output), *read_queries(config.queries or Path())]
    numbered = [replace(query, id=str(at)) for at, query in enumerate(texts)]
    assert len({placed.group for placed in Groups(lambda: numbered)}) == 60 + len(SEEDS)
    assert set(made.left_out) >= {lines.HEADING, lines.ECHOED, lines.TEMPLATE}
    kept_or_not = sum(made.left_out.values()) + len(written)
    assert (kept_or_not, made.usd) == (10 * made.answers, 0)


def test_the_same_command_changes_nothing_and_opens_no_model(config: WriteConfig, register: Register) -> None:
    def fails(system: str, asked: str) -> str:
        raise BackendError("asked again")

    made = write_queries(config)
    before = contents(config.output.parent, without=set())
    register("writer", fails)
    try:
        assert write_queries(config) == made
        assert contents(config.output.parent, without=set()) == before
        config.output.unlink()
        assert write_queries(config) == made
        assert contents(config.output.parent, without=set()) == before
    finally:
        register("writer", writer)


VARIANTS: dict[str, dict[str, Any]] = {
    "streaming": {"backend_options": {"shuffle": "true"}},
    "chunks": {"backend_options": {"chunk": "3"}, "seed": 1},
    "text": {"format": "text", "limit": 8, "backend": "continuer"},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_job_killed_again_and_again_ends_in_the_same_bytes(variant: str, register: Register, tmp_path: Path) -> None:
    if variant == "text":
        register("continuer", lambda before, asked: f" {writer(before, asked + before)[20:]}")
    whole, other = (job(tmp_path / name, **VARIANTS[variant]) for name in ("whole", "other"))
    moments = killed_job(lambda: write_queries(whole), whole.output.parent, 0)
    kills = at = 0
    while killed_job(lambda: write_queries(other), other.output.parent, 5 + at) == 0:
        kills, at = kills + 1, at + 3
        assert kills < moments
    assert kills >= 5
    found, expected = (contents(config.output.parent, without=set()) for config in (other, whole))
    assert found == expected


def test_cost_limit_stops_in_time_and_keeps_the_queries(config: WriteConfig) -> None:
    priced = replace(config, backend_options={"price_prompt": "3", "price_sampled": "15", "price_trained": "0"})
    whole = write_queries(replace(priced, output=config.output.with_name("whole.jsonl")))
    assert whole.usd
    limited = replace(priced, max_tokens=100, max_cost=whole.usd / 2)
    with pytest.raises(RunError, match=r"stopped by --max-cost .*: \$.* continue with the same command"):
        write_queries(limited)
    part = config.output.with_name("queries.jsonl.part")
    so_far = part.read_text().splitlines()
    assert 0 < len(so_far) < 60
    assert not config.output.exists()
    made = write_queries(replace(limited, max_cost=None))
    assert made.usd is not None
    assert made.usd > whole.usd / 2
    assert config.output.read_text().splitlines()[: len(so_far)] == so_far
    with pytest.raises(UsageError, match="the price of unknown:rule is unknown"):
        write_queries(_unpriced(limited))


def _unpriced(config: WriteConfig) -> WriteConfig:
    class Unpriced(FakeBackend):
        def prices(self, model: str) -> None:
            return None

    if "unknown" not in installed().backends:
        installed().backends.register("unknown", Unpriced, options=FakeOptions)
    return replace(config, teacher="unknown:rule", output=config.output.with_name("other.jsonl"))


def test_other_options_on_the_same_output_are_refused(config: WriteConfig) -> None:
    write_queries(config)
    before = contents(config.output.parent, without=set())
    with pytest.raises(RunError, match=r"started with other options: limit 60 \(now 61\); use another --output, or"):
        write_queries(replace(config, limit=61))
    other = replace(config, output=config.output.with_name("other.jsonl"))
    with pytest.raises(BackendError, match="does not fit"):
        write_queries(replace(other, backend_options={"context": "30"}))
    assert sum(write_queries(other).written.values()) == 60  # there was no answer, so the job had not started
    before = contents(config.output.parent, without=set())
    config.prompt.write_text("Another one.")
    with pytest.raises(RunError, match="another prompt"):
        write_queries(config)
    assert contents(config.output.parent, without=set()) == before


def test_a_file_of_the_users_is_never_replaced(config: WriteConfig) -> None:
    config.output.write_text("mine\n")
    with pytest.raises(UsageError, match="exists already"):
        write_queries(config)
    assert contents(config.output.parent, without=set()) == {"queries.jsonl": b"mine\n"}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "they are empty"),
        ("---\n***", lines.MARKUP),
        ("repair", lines.GIVEN_AWAY),
        ("\x1b]0;title\x07\n" * 50, lines.DAMAGED),
        (SEEDS[0][0], NEAR),
    ],
)
def test_model_without_useful_output_is_given_up(answer: str, reason: str, register: Register, tmp_path: Path) -> None:
    register(f"poor-{abs(hash(answer))}", lambda system, asked: answer)
    config = job(tmp_path, f"poor-{abs(hash(answer))}")
    with pytest.raises(TaskError, match=f"12 answers contain no usable query .*{reason}"):
        write_queries(config)
    assert not config.output.exists()


def test_model_that_repeats_itself_gives_fewer_queries(register: Register, tmp_path: Path) -> None:
    register("terse", lambda system, asked: "the only thing that it ever says\nand this")
    made = write_queries(job(tmp_path, "terse", labels=None, limit=40))
    assert (sum(made.written.values()), sum(made.wanted.values())) == (2, 40)


def test_no_more_queries_are_asked_for_than_the_limit_while_lines_are_usable(
    register: Register, tmp_path: Path
) -> None:
    seen: dict[str, None] = {}

    def answer(system: str, asked: str) -> str:
        seen[asked.partition("\n")[0]] = None
        return "\n".join(writer(system, asked).splitlines()[1 : 1 + int(asked.split()[1])])

    register("exact", answer)
    config = job(tmp_path, "exact", queries=None, labels=None, limit=9)
    config.prompt.write_text("Sort it.\n" + "".join(f"- Rule {at}.\n" for at in range(20)))
    made = write_queries(config)
    assert (len(rows(config)), sum(made.wanted.values()), len(made.wanted)) == (9, 9, 9)
    ask = "for which this part of the prompt matters: Rule"
    assert list(seen)[:9] == [f"Write 1 message {ask} {at}." for at in range(9)]
    assert all(text.startswith("Write 10 messages") for text in list(seen)[9:])
    estimate = estimate_writing(replace(config, limit=25, output=config.output.with_name("other.jsonl")))
    assert (len(estimate.questions), len(estimate.wanted)) == (20, 20)
    assert f"Write 2 messages {ask} 4." in str(estimate.questions[4].request.prompt)
    assert f"Write 1 message {ask} 5." in str(estimate.questions[5].request.prompt)


def test_few_shot_prompts_are_continued(register: Register, tmp_path: Path) -> None:
    seen = []

    def answer(before: str, asked: str) -> str:
        seen.append(before + asked)
        return f" {writer('', f'{len(seen)}').splitlines()[3][3:]}\nKind: price"

    register("base", answer)
    config = job(tmp_path, "base", limit=6, queries=None, backend_options={"chat_template": "false"})
    config.prompt.write_text(
        "Message: the hub is loose\nKind: repair\n\nMessage: cost of a bell?\nKind: price\n\nMessage: {query}\nKind:"
    )
    made = write_queries(config)
    assert made.written == {f"asked for {label}": 3 for label in LABELS}
    estimate = estimate_writing(replace(config, output=config.output.with_name("other.jsonl")))
    first = estimate.questions[0].request.prompt
    assert getattr(first, "text", "").endswith("\n\nKind: repair\nMessage:")
    config.prompt.write_text("Sort the message.")
    with pytest.raises(UsageError, match="needs some queries for the model to continue"):
        write_queries(replace(config, output=config.output.with_name("third.jsonl")))


def test_a_look_beforehand_asks_and_writes_nothing(config: WriteConfig) -> None:
    estimate = estimate_writing(config)
    assert sum(estimate.wanted.values()) == 60
    assert (len(estimate.questions), estimate.tokens.sampled, estimate.usd) == (6, 6 * 1_024, 0)
    assert list(config.output.parent.iterdir()) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"output": Path("queries.csv")},
        {"output": Path("no such folder") / "queries.jsonl"},
        {"labels": ("a", "a")},
        {"queries": None, "columns": {"query": "text"}},
    ],
)
def test_options_that_cannot_be_used_are_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(PdistillError):
        job(tmp_path, **changes)
