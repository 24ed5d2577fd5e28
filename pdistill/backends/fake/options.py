"""The options of the fake backend."""

from dataclasses import dataclass

from pdistill.core.contract.optionfields import documented, option


@documented
@dataclass(frozen=True, slots=True)
class FakeOptions:
    """The behaviour of the fake backend; every option is a key of `-B`."""

    answers: tuple[str, ...] = option((), "Answers of the rule model, instead of the labels that the prompt names")
    latency: float = option(
        0.0, "Seconds per answer and per training step", minimum=0, maximum=10_000, changes_rows=False
    )
    fail_at: int = option(
        0,
        "Number of the answer or training step that fails, counted per opened backend; 0: none",
        minimum=0,
        maximum=10**9,
        changes_rows=False,
    )
    shuffle: bool = option(False, "Return answers out of order, within a window", changes_rows=False)
    chunk: int = option(0, "Consecutive queries per call of the sampler; 0: no chunks", minimum=0, maximum=10**9)
    cut_every: int = option(0, "Cut off every n-th query's answer after one token; 0: none", minimum=0, maximum=10**9)
    context: int = option(0, "Context length in tokens; 0: unlimited", minimum=0, maximum=10**9)
    chat_template: bool = option(True, "Whether the models have a chat template; without one, they are base models")
    price_prompt: float | None = option(
        None, "USD per million input tokens", default_text="free", minimum=0, maximum=10**6, changes_rows=False
    )
    price_sampled: float | None = option(
        None, "USD per million output tokens", default_text="free", minimum=0, maximum=10**6, changes_rows=False
    )
    price_trained: float | None = option(
        None, "USD per million training tokens", default_text="free", minimum=0, maximum=10**6, changes_rows=False
    )
