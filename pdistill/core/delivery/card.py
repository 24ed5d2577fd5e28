"""The model card of an export: what it is, made from what, with which figures, and how to load it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdistill.core.contract.sampling import Sampling
from pdistill.core.results.markdown import ARM_NAMES, code, figure, verdict
from pdistill.core.results.report import arms_of
from pdistill.core.version import versions

ADAPTER_CONFIG = "adapter_config.json"


@dataclass(frozen=True, slots=True)
class Parity:
    """How an export answers the held-out queries.

    Args:
        queries: how many were asked.
        equal: how many have the recorded answer of the student.
        stopped: how many of the equal ones need the run's stop text to end where the student's did.
    """

    queries: int
    equal: int
    stopped: int


def card(report: Mapping[str, Any], directory: Path, parity: Parity, sampling: Sampling) -> str:
    """Return the README.md of the export in `directory`; names that come from the task are shown as code."""
    base = _base(directory)
    schedule, tokens = report["training"], report["tokens"]
    lines = [
        *_front_matter(base),
        f"# A student of {code(report['teacher'])} for {code(report['task'])}",
        "",
        f"Made by prompt distillation: a teacher answered queries under a long prompt, and {code(report['student'])} was "
        "trained to give the same answers without it. Ask it with the bare query as the one user message; the chat "
        "template adds what the student was trained with.",
        "",
        f"{verdict(report)} A call takes {tokens['prompt_student']:,.0f} input tokens in place of "
        f"{tokens['prompt_teacher']:,.0f}.",
        "",
        "| arm | agreement with the teacher | accuracy against the reference |",
        "|---|---|---|",
        *(
            f"| {ARM_NAMES[arm]} | {figure(figures['agreement'])} | {figure(figures['accuracy'])} |"
            for arm, figures in arms_of(report)
        ),
        "",
        f"Before this folder was finished it was loaded afresh, in float32, and asked the {parity.queries:,} held-out "
        f"queries: {parity.equal:,} answers are those of the evaluated student.{_stops(parity, sampling)}",
        "",
        "## Load it",
        "",
        *_script(base),
        "",
        "It answers greedily and computes in float32; in half precision some answers may differ.",
        "",
        "## How it was made",
        "",
        f"{schedule['rows']:,} examples, {schedule['steps']:,} steps in batches of {schedule['batch_size']:,}, "
        f"{schedule['epochs']:,} epochs, learning rate {schedule['learning_rate']:g}. "
        + "; ".join(f"{name} {version}" for name, version in versions().items())
        + ".",
        "",
    ]
    return "\n".join(lines)


def _base(directory: Path) -> str | None:
    """Return the base that an adapter names; None for a model of its own."""
    config = directory / ADAPTER_CONFIG
    if not config.exists():
        return None
    return str(json.loads(config.read_text(encoding="utf-8"))["base_model_name_or_path"])


def _front_matter(base: str | None) -> list[str]:
    """Return what the hub reads; a base that is a folder is no name that the hub knows."""
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
        f" {parity.stopped:,} of them go on after the text that ended them in the run ({code(', '.join(stops))}): cut "
        "them there."
    )


def _script(base: str | None) -> list[str]:
    adapter = [
        f'base = AutoModelForCausalLM.from_pretrained({_place(base)}, dtype="float32")',
        "model = PeftModel.from_pretrained(base, folder)",
    ]
    merged = ["model = AutoModelForCausalLM.from_pretrained(folder)"]
    return [
        "```python",
        *(["from peft import PeftModel"] if base else []),
        "from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig",
        "",
        'folder, query = ".", "your query"',
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        *(adapter if base else merged),
        'message = [{"role": "user", "content": query}]',
        'inputs = tokenizer.apply_chat_template(message, return_dict=True, return_tensors="pt")',
        "answer = model.generate(**inputs, generation_config=GenerationConfig.from_pretrained(folder))[0]",
        'print(tokenizer.decode(answer[inputs["input_ids"].shape[1] :], skip_special_tokens=True))',
        "```",
    ]


def _place(base: str | None) -> str:
    return 'f"{folder}/base"' if base == "base" else json.dumps(base)
