"""The model card of an export: what it is, how it was made, its metrics, and how to load it."""

import json
from dataclasses import dataclass
from pathlib import Path

from pdistill.core.contract.sampling import Sampling
from pdistill.core.escape import code
from pdistill.core.results.headline import headline
from pdistill.core.results.markdown import arms_table
from pdistill.core.results.report import Report
from pdistill.core.version import versions

ADAPTER_CONFIG = "adapter_config.json"


@dataclass(frozen=True, slots=True)
class Parity:
    """The agreement of an export with the student on the held-out queries.

    Args:
        queries: number of held-out queries.
        equal: number of answers that equal the student's recorded ones.
        stopped: number of equal ones that need the run's stop sequence to end where the student's did.
    """

    queries: int
    equal: int
    stopped: int


def card(report: Report, directory: Path, parity: Parity, sampling: Sampling) -> str:
    """Return the README.md of the export in `directory`; names that come from the task are shown as code."""
    base = _base(directory)
    schedule, tokens = report.training, report.tokens
    lines = [
        *_front_matter(base),
        f"# A student of {code(report.teacher)} for {code(report.task)}",
        "",
        f"Made by prompt distillation: a teacher answered queries with a long prompt, and {code(report.student)} was trained "
        "to give the same answers without it. Send the bare query as the only user message; the chat template adds the "
        "prompt template of training.",
        "",
        f"{headline(report)} A call takes {tokens.prompt_student:,.0f} input tokens instead of {tokens.prompt_teacher:,.0f}.",
        "",
        *arms_table(report),
        "",
        f"Before this directory was finished, it was reloaded in float32 and answered the {parity.queries:,} held-out queries: "
        f"{parity.equal:,} answers are those of the evaluated student.{_stops(parity, sampling)}",
        "",
        "## Load it",
        "",
        *_script(base),
        "",
        "It decodes greedily in float32; in half precision some answers may differ.",
        "",
        "## How it was made",
        "",
        f"{schedule.rows:,} examples, {schedule.steps:,} steps, batch size {schedule.batch_size:,}, "
        f"{schedule.epochs:,} epochs, learning rate {schedule.learning_rate:g}. "
        + "; ".join(f"{name} {version}" for name, version in versions().items())
        + ".",
        "",
    ]
    return "\n".join(lines)


def _base(directory: Path) -> str | None:
    """Return the base that an adapter names; None for a merged model."""
    config = directory / ADAPTER_CONFIG
    if not config.exists():
        return None
    return str(json.loads(config.read_text(encoding="utf-8"))["base_model_name_or_path"])


def _front_matter(base: str | None) -> list[str]:
    """Return the metadata that the hub reads; a base that is a directory is not a name that the hub knows."""
    known = [f"base_model: {json.dumps(base)}"] if base and base.count("/") == 1 and not base.startswith("/") else []
    library = "peft" if base else "transformers"
    return [
        "---",
        *known,
        f"library_name: {library}",
        "pipeline_tag: text-generation",
        "tags:",
        "- pdistill",
        "---",
        "",
    ]


def _stops(parity: Parity, sampling: Sampling) -> str:
    if not parity.stopped:
        return ""
    stops = [
        *map(json.dumps, sampling.stop),
        *(["the first newline after its first word"] if sampling.stop_at_newline else []),
    ]
    return (
        f" {parity.stopped:,} of them continue after the stop sequence of the run ({code(', '.join(stops))}): truncate "
        "them there."
    )


def _script(base: str | None) -> list[str]:
    adapter = [
        f'base = AutoModelForCausalLM.from_pretrained({_place(base)}, dtype="float32")',
        "model = PeftModel.from_pretrained(base, directory)",
    ]
    merged = ["model = AutoModelForCausalLM.from_pretrained(directory)"]
    return [
        "```python",
        *(["from peft import PeftModel"] if base else []),
        "from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig",
        "",
        'directory, query = ".", "your query"',
        "tokenizer = AutoTokenizer.from_pretrained(directory)",
        *(adapter if base else merged),
        'message = [{"role": "user", "content": query}]',
        'inputs = tokenizer.apply_chat_template(message, return_dict=True, return_tensors="pt")',
        "answer = model.generate(**inputs, generation_config=GenerationConfig.from_pretrained(directory))[0]",
        'print(tokenizer.decode(answer[inputs["input_ids"].shape[1] :], skip_special_tokens=True))',
        "```",
    ]


def _place(base: str | None) -> str:
    return 'f"{directory}/base"' if base == "base" else json.dumps(base)
