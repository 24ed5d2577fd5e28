"""The results of `pdistill queries`, or of its dry run, as text or JSON."""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pdistill.cli.escape import json_text, lines, one_line
from pdistill.core.contract.prices import Tokens, usd
from pdistill.core.contract.prompts import Messages, Prompt
from pdistill.core.writing.job import Outcome, WriteEstimate
from pdistill.core.writing.requestlogs import RequestLogs
from pdistill.core.writing.settings import WriteConfig


def written(made: Outcome, config: WriteConfig, as_json: bool) -> str:
    """Return the result of writing queries, as text or JSON."""
    count = sum(made.written.values())
    if as_json:
        row = {
            "file": str(config.output),
            "queries": count,
            "wanted": config.limit,
            "teacher": made.teacher,
            "slices": dict(made.written),
            "left_out": dict(made.left_out),
            "answers": made.answers,
            **_cost_row(made.tokens, made.usd),
        }
        return json_text(row)
    few = "" if count == config.limit else f" of the {config.limit:,} wanted: the model wrote no more new ones"
    parts = [
        one_line(f"{_queries(count)} saved in {config.output}{few}"),
        f"from {made.answers:,} answers of {one_line(made.teacher)}: {_cost(made.tokens, made.usd)}",
        "",
        *_balance(made.written, made.wanted),
    ]
    if made.left_out:
        parts += ["", "skipped lines:", *_counts(made.left_out)]
    labels = f" --labels {shlex.quote(','.join(config.labels))}" if config.labels else ""
    form = "--format text " if made.format == "text" else ""
    asked = f"--prompt {shlex.quote(str(config.prompt))} --queries {shlex.quote(str(config.output))}"
    parts += [
        "",
        "Review them first: nothing has checked that they match their labels or rules.",
        one_line(f"next: pdistill run {asked}{labels} {form}--teacher {shlex.quote(made.teacher)}"),
    ]
    return "\n".join(parts)


def dry_run(made: WriteEstimate, config: WriteConfig, as_json: bool) -> str:
    """Return what writing queries would do, as text or JSON."""
    plan, first = made.plan, made.questions[0].request.prompt
    if as_json:
        row = {
            "file": str(config.output),
            "teacher": plan.source.spec.id,
            "format": plan.format,
            "slices": dict(made.wanted),
            "seeds": len(plan.source.seeds),
            "requests": len(made.questions),
            **_cost_row(made.tokens, made.usd),
            "first": _plain(first),
        }
        return json_text(row, indent=2)
    parts = [
        f"dry run: no model is called, nothing is written; the queries would be saved in {one_line(str(config.output))}",
        "",
        *_balance({}, made.wanted),
        "",
        f"{one_line(plan.source.spec.id)} is prompted in {plan.format} format, with {len(plan.source.seeds):,} example queries.",
        f"At least {len(made.questions):,} requests: {_cost(made.tokens, made.usd)} if every answer has the maximum length.",
        "Invalid lines are requested again. The first request:",
        "",
        lines(_plain(first)),
    ]
    return "\n".join(parts)


def extracted(
    read: RequestLogs, count: int, output: Path, prompt: str, *, masked: bool, dry_run: bool, as_json: bool
) -> str:
    """Return the result of extracting queries from logs, as text or JSON.

    Args:
        prompt: the prompt file of the command line, or FILE.
    """
    if as_json:
        row: dict[str, Any] = {
            "file": None if dry_run else str(output),
            "queries": count,
            "requests": read.requests,
            "left_out": dict(read.left_out.most_common()),
            "prompts": read.prompts,
            "masked": dict(read.masked.most_common()) if masked else None,
        }
        return json_text(row)
    state = "would be saved" if dry_run else "saved"
    parts = [
        f"{_queries(count)} from {_count(read.requests, 'request', 'requests')} {state} in {one_line(str(output))}"
    ]
    if read.left_out:
        parts += ["skipped:", *_counts(dict(read.left_out.most_common()))]
    if masked:
        parts += ["masked:", *_counts(dict(read.masked.most_common()))] if read.masked else ["nothing was masked"]
        parts.append(
            "Names, postal addresses and anything else without a fixed format can't be detected: review the file."
        )
    if read.prompts > 1 and not read.selects:
        parts.append(
            f"The requests have {read.prompts:,} different system messages; --prompt FILE selects those with one of them."
        )
    if not dry_run:
        parts.append(one_line(f"next: pdistill run {shlex.join(['--prompt', prompt, '--queries', str(output)])}"))
    return "\n".join(parts)


def _queries(count: int) -> str:
    return _count(count, "query", "queries")


def _count(count: int, one: str, several: str) -> str:
    return f"{count:,} {one if count == 1 else several}"


def _balance(written: Mapping[str, int], wanted: Mapping[str, int]) -> Iterator[str]:
    width = max(map(len, map(one_line, wanted)))
    for name, count in wanted.items():
        there = written.get(name, count)
        yield f"  {one_line(name).ljust(width)}  {there:,}" + ("" if there == count else f" of {count:,}")


def _counts(counts: Mapping[str, int]) -> list[str]:
    width = max(len(f"{count:,}") for count in counts.values())
    return [f"  {f'{count:,}'.rjust(width)}  {one_line(name)}" for name, count in counts.items()]


def _cost(tokens: Tokens, amount: float | None) -> str:
    money = "cost unknown" if amount is None else f"{usd(amount)} in total" if amount else "free of charge"
    return f"{tokens.prompt:,} input and {tokens.sampled:,} output tokens, {money}"


def _cost_row(tokens: Tokens, amount: float | None) -> dict[str, Any]:
    return {"prompt_tokens": tokens.prompt, "sampled_tokens": tokens.sampled, "usd": amount}


def _plain(prompt: Prompt) -> str:
    if isinstance(prompt, Messages):
        return "\n\n".join(f"[{message.role}]\n{message.content}" for message in prompt.messages)
    return prompt.text
