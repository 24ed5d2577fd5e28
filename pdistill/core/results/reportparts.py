"""The parts of report.json, as types; see pdistill.core.results.reportform."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0)]
By = Literal["agreement", "accuracy"]


class Part(BaseModel):
    """A part of the report: it has these keys and no others, and its numbers are numbers."""

    model_config = ConfigDict(
        extra="forbid", strict=True, use_attribute_docstrings=True, allow_inf_nan=False, protected_namespaces=()
    )


class Interval(Part):
    """A figure with its 95 % interval; null where it is undefined."""

    value: float | None
    low: float | None
    high: float | None


class Figure(Interval):
    """A figure of so many queries."""

    n: Count


class Figures(Part):
    """Agreement with the teacher, and accuracy against the reference."""

    agreement: Figure
    accuracy: Figure | None
    """Null where no query has a reference."""


class Arm(Figures):
    """One arm on the held-out queries."""

    slices: dict[str, Figures]


class Arms(Part):
    """The five arms; one that was not run is null."""

    teacher: Arm | None
    base: Arm | None
    base_prompted: Arm | None
    student: Arm | None
    student_prompted: Arm | None


class Numbers(Part):
    """Queries by their part of the split."""

    train: Count
    eval: Count
    rejected: Count
    eval_rejected: Count


class Groups(Part):
    """Queries that are kept on one side of the split."""

    queries: Count
    groups: Count
    largest: Count


class Pair(Part):
    """How often the student answered so where the teacher answered so."""

    teacher: str
    student: str | None
    """Null where its answer was rejected."""
    n: Count


class Confusions(Part):
    """Which labels the student takes for which."""

    labels: list[str]
    rows: list[Pair]


class Said(Part):
    """An answer, cut after 1,000 characters."""

    response: str
    rejected: bool


class Disagreement(Part):
    """A held-out query on which the student does not fully agree."""

    id: str
    query: str
    slices: list[str]
    reference: str | None
    teacher: str
    """What is learnt."""
    base: Said
    student: Said
    agreement: Amount


class Disagreements(Part):
    """All of them counted, and at most 200 of them shown, those of the worst slices first."""

    n: Count
    rows: Annotated[list[Disagreement], Field(max_length=200)]


class Tokens(Part):
    """Input tokens a call, the mean of the held-out queries."""

    prompt_teacher: Amount
    prompt_student: Amount
    saved_per_call: float


class Asked(Part):
    """What a stage that asks took."""

    prompt_tokens: Count
    sampled_tokens: Count
    usd: Amount | None


class Trained(Part):
    """What the training took."""

    sequence_tokens: Count
    usd: Amount | None


class Price(Part):
    """USD per million tokens."""

    prompt: Amount
    sampled: Amount
    trained: Amount
    source: str
    date: str


class SidePrices(Part):
    """By side; null where the price is unknown."""

    teacher: Price | None
    student: Price | None


class Cost(Part):
    """What the run took, and when that is paid back."""

    generate: Asked
    train: Trained
    evaluate: Asked
    usd: Amount | None
    prices: SidePrices
    saved_usd_per_call: float | None
    break_even_calls: Count | None
    break_even_in: Literal["usd", "tokens"]


class Seconds(Part):
    """How long each stage worked, all its interruptions together."""

    generate: Amount
    train: Amount
    evaluate: Amount


class Made(Part):
    """How the run was made."""

    queries: Count
    hashes: dict[str, str | int]
    seed: int
    format: Literal["chat", "text"]
    temperature: Amount
    top_p: Amount
    max_tokens: Count
    samples: Count
    rank: Count
    resolved: dict[str, Any]
    versions: dict[str, str]


class Training(Part):
    """The schedule."""

    rows: Count
    batch_size: Count
    epochs: Count
    learning_rate: Amount
    seed: int
    steps: Count
    checkpoint_every: Count


class JudgedArm(Part):
    """Held-out queries by what the judge says of an arm's answer, against the teacher's."""

    as_good: Figure
    """The share that is at least as good: identical, the same or better; undecided counts half, unreadable not at all."""
    identical: Count
    """The same text, of which the judge was not asked."""
    same: Count
    better: Count
    undecided: Count
    """The judge says something else when the two answers change places."""
    worse: Count
    rejected: Count
    """Of which the judge was not asked."""
    unreadable: Count
    """The judge's reply is no verdict."""


class JudgedArms(Part):
    """The arms that are judged."""

    base: JudgedArm
    student: JudgedArm


class Order(Part):
    """Of how many pairs the judge preferred what stood first, or second, in both orders; the p-value of chance."""

    first: Count
    second: Count
    p: float | None


class Judgement(Part):
    """What a judge model says of the answers."""

    judge: str
    """The model, as BACKEND:MODEL."""
    arms: JudgedArms
    order: Order
    cost: Asked
