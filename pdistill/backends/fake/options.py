"""The options of the fake backend."""

from dataclasses import dataclass, field

from pdistill.core.errors import UsageError

HARMLESS = {"changes_rows": False}


@dataclass(frozen=True, slots=True)
class FakeOptions:
    """What the fake backend shall do; every option is a key of `-B`.

    Args:
        answers: what the rule answers with, instead of the labels that the prompt names.
        latency: seconds that each answer and each training step takes.
        fail_at: the answer or training step, counted from 1 in each backend that is opened, that fails; 0 is none.
        shuffle: whether answers come out of order, within a window.
        chunk: query numbers that belong together in one call of the sampler; 0 is none.
        cut_every: every n-th query's answer is cut off after one token; 0 is none.
        context: tokens that prompt, query and answer may have together; 0 is no limit.
        chat_template: whether chat messages can be rendered; without, the models are base models.
        price_prompt: what a million tokens of prompts cost, in USD; nothing, if it is not given.
        price_sampled: what a million tokens of answers cost.
        price_trained: what a million tokens of training examples cost.
    """

    answers: tuple[str, ...] = ()
    latency: float = field(default=0.0, metadata=HARMLESS)
    fail_at: int = field(default=0, metadata=HARMLESS)
    shuffle: bool = field(default=False, metadata=HARMLESS)
    chunk: int = 0
    cut_every: int = 0
    context: int = 0
    chat_template: bool = True
    price_prompt: float | None = field(default=None, metadata=HARMLESS)
    price_sampled: float | None = field(default=None, metadata=HARMLESS)
    price_trained: float | None = field(default=None, metadata=HARMLESS)

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            UsageError: one is below 0.
        """
        for name in ("latency", "fail_at", "chunk", "cut_every", "context"):
            value = getattr(self, name)
            if value < 0:
                raise UsageError(f"option {name} of backend fake: {value} is below 0; 0 leaves it out")
