"""When an answer ends, and what its text is: the same for every engine."""

from collections.abc import Sequence

from transformers import GenerationConfig

from pdistill.backends.local.model.loading import Source
from pdistill.backends.rendering import TemplateRenderer
from pdistill.core.contract.sampling import Completion, Finish, Sampling


class StopRules:
    """What ends answers.

    Args:
        sampling: stop sequences and the maximum number of tokens.
        ends: tokens that end an answer.
        renderer: decodes tokens to text.
    """

    def __init__(self, sampling: Sampling, ends: frozenset[int], renderer: TemplateRenderer) -> None:
        self.sampling = sampling
        self.ends = ends
        self.renderer = renderer
        self.by_text = bool(sampling.stop) or sampling.stop_at_newline

    def completion(self, tokens: Sequence[int]) -> Completion | None:
        """Return the answer if its last token ends it, or else None."""
        ended = tokens[-1] in self.ends
        full = len(tokens) >= self.sampling.max_tokens
        if not (ended or full or self.by_text):
            return None
        text, cut = self.sampling.cut(self.decode(tokens[:-1] if ended else tokens))
        if not (ended or cut or full):
            return None
        finish: Finish = "stop" if ended or cut else "length"
        return Completion(text, finish, tokens=len(tokens))

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        return self.renderer.answer(tokens)


def end_tokens(configured: int | Sequence[int] | None, renderer: TemplateRenderer) -> frozenset[int]:
    """Return the tokens that end an answer: those of the model's configuration, of the tokenizer and of the chat template."""
    ends = {configured} if isinstance(configured, int) else set(configured or ())
    if renderer.tokenizer.eos_token_id is not None:
        ends.add(renderer.end_token)
    if renderer.has_chat_template:
        ends.add(renderer.chat_end_token)
    return frozenset(ends)


def configured_end_tokens(source: Source) -> int | Sequence[int] | None:
    """Return the end token, or tokens, of a model's configuration, without loading the model."""
    ends: int | Sequence[int] | None
    try:
        ends = GenerationConfig.from_pretrained(source.location, local_files_only=source.cached).eos_token_id
    except OSError:  # there is no generation_config.json
        ends = source.config.get_text_config().eos_token_id
    return ends
