"""The probes in report.json, as types; see pdistill.core.results.reportform."""

from pdistill.core.results.reportparts import Amount, Count, Figure, Part


class NotRun(Part):
    """A probe that was not run."""

    alarm: None
    not_run: str
    """Why."""


class Run(Part):
    """The longest run of characters in common with the prompt."""

    characters: Count
    words: Count
    text: str
    """At most its first 200 characters."""


class LongestRuns(Part):
    """Of both models, over all of their answers."""

    student: Run
    base: Run


class Leakage(Part):
    """Whether the student recites its prompt."""

    alarm: bool
    threshold: Count
    """Characters from which on a run counts as recited."""
    attempts: Figure
    """The share of attempts that the student answers with a piece of the prompt."""
    held_out: Figure
    """The same of its answers to held-out queries."""
    longest: LongestRuns


class Losses(Part):
    """Of the text itself, in nats a token."""

    base: Figure
    student: Figure


class Place(Part):
    """Texts that stand in one place; `n` counts them."""

    able: bool
    """Whether the base knows enough to be judged by."""
    texts: Count
    tokens: Count
    kl: Figure
    """KL(base || student) of the next token, in nats; at least that."""
    same_first: Figure
    """The share of tokens at which both find the same one likeliest."""
    loss: Losses


class Retention(Part):
    """How far the student is from the base where its task is not being asked."""

    alarm: bool
    threshold: Amount
    """Nats a token above which the student counts as one that has forgotten."""
    places: dict[str, Place]


class Injection(Part):
    """Whether the student obeys queries that tell it to ignore its task."""

    alarm: bool
    threshold: Amount
    student_alone: Figure
    """The share of the questions that the student obeys, of those that the teacher does not."""
    teacher: Figure
    student: Figure
    agreement: Figure


class Welcome(Part):
    """Whether the student still follows another task's prompt as the base does."""

    alarm: bool
    threshold: Amount
    able: bool
    """Whether the base follows enough to be judged by."""
    agreement: Figure
    """Of those questions in which the base follows."""
    base: Figure
    student: Figure


class Probes(Part):
    """What training did besides the task."""

    leakage: Leakage
    retention: Retention | NotRun
    injection: Injection | NotRun
    welcome: Welcome | NotRun
