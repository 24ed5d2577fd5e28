"""The options of the fake backend."""

from dataclasses import dataclass, field

from pdistill.core.errors import UsageError

HARMLESS = {"changes_rows": False}


@dataclass(frozen=True, slots=True)
class FakeOptions:
    """Options of the fake backend, as `-B key=value`.

    Args:
        answers: labels that the rule answers with, instead of those that the prompt names.
        latency: seconds per answer and per training step.
        fail_at: number of the answer or training step that fails, counted from 1 in each opened backend; 0 is none.
        shuffle: whether answers arrive out of order, within a window.
        chunk: number of consecutive queries per call of the sampler; 0 is no chunks.
        cut_every: interval of queries whose answers are cut off after one token; 0 is none.
        context: most tokens of prompt, query and answer together; 0 is no limit.
        chat_template: whether chat messages can be rendered; without a chat template, the models are base models.
        price_prompt: price of a million prompt tokens, in USD (default: free).
        price_sampled: price of a million answer tokens, in USD (default: free).
        price_trained: price of a million training tokens, in USD (default: free).
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
            UsageError: a number is negative.
        """
        for name in ("latency", "fail_at", "chunk", "cut_every", "context"):
            value = getattr(self, name)
            if value < 0:
                raise UsageError(
                    f"invalid value {value} for option {name} of backend fake: it must not be negative; 0 turns it off"
                )
