"""An export as its users have it: loaded with transformers and PEFT alone, and prompted with one user message."""

import json
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from pdistill.backends.local.model.adapter import CONFIG_FILE, TIED_WARNING
from pdistill.core.contract.batches import TokenIds
from pdistill.core.contract.exporter import Asked
from pdistill.core.contract.prompts import Message
from pdistill.core.contract.sampling import Completion

BATCH_ROWS = 16

Models: Any = AutoModelForCausalLM
Tokenizers: Any = AutoTokenizer
Settings: Any = GenerationConfig


class TransformersExport:
    """The export in a directory, loaded from its files, in float32.

    Args:
        directory: the directory.
        device: the device to run it on.
    """

    def __init__(self, directory: Path, device: str) -> None:
        self.tokenizer = Tokenizers.from_pretrained(directory)
        self._special = {token for token, added in self.tokenizer.added_tokens_decoder.items() if added.special}
        self.settings = Settings.from_pretrained(directory)
        self.model = _load(directory).to(device).eval()

    def prompt_ids(self, query: Asked) -> TokenIds:
        """Return the ids of one user message, or of a conversation, rendered with the export's own chat template."""
        return list(self.tokenizer.apply_chat_template(_turns(query), return_dict=False))

    @torch.inference_mode()
    def answers(self, queries: Sequence[Asked]) -> Iterator[tuple[int, Completion]]:
        """Yield (index in `queries`, answer) as they finish; only messages of equal length share a batch."""
        by_length: dict[int, list[int]] = defaultdict(list)
        prompts = [self.prompt_ids(query) for query in queries]
        for position, ids in enumerate(prompts):
            by_length[len(ids)].append(position)
        for positions in by_length.values():
            for start in range(0, len(positions), BATCH_ROWS):
                batch = positions[start : start + BATCH_ROWS]
                yield from zip(batch, self._generate([prompts[position] for position in batch]), strict=True)

    def _generate(self, prompts: Sequence[TokenIds]) -> list[Completion]:
        ids = torch.tensor(prompts, device=self.model.device)
        rows = self.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=self.settings
        ).tolist()
        return [self._completion(row[ids.shape[1] :], ids.shape[1]) for row in rows]

    def _completion(self, tokens: list[int], prompt_tokens: int) -> Completion:
        ends = set(self.settings.eos_token_id)
        end = next((position for position, token in enumerate(tokens) if token in ends), None)
        text = self.tokenizer.decode(tokens[:end], skip_special_tokens=not self._special.intersection(tokens[:end]))
        return Completion(
            text, "length" if end is None else "stop", prompt_tokens, len(tokens[:end]) + (end is not None)
        )


def _load(directory: Path) -> Any:
    """Return the model of a merged export, or an adapter on its base."""
    config = directory / CONFIG_FILE
    if not config.exists():
        return Models.from_pretrained(directory, dtype=torch.float32)
    base = str(json.loads(config.read_text(encoding="utf-8"))["base_model_name_or_path"])
    inside = directory / base
    model = Models.from_pretrained(inside if inside.is_dir() else base, dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT uses names that transformers has deprecated
        warnings.filterwarnings("ignore", TIED_WARNING)
        return PeftModel.from_pretrained(model, directory)


def _turns(query: Asked) -> list[dict[str, str]]:
    messages = (Message("user", query),) if isinstance(query, str) else query.messages
    return [message.as_row() for message in messages]
