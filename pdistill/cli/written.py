"""What `pdistill queries` says in the end, or beforehand: how many queries for what, and what was left out."""

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


def outcome(made: Outcome, config: WriteConfig, as_json: bool) -> str:
    """Return what was written, for people or as JSON."""
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
    few = "" if count == config.limit else f" of the {config.limit:,} that were wanted: no more came that are new"
    told = [
        one_line(f"{_queries(count)} in {config.output}{few}"),
        f"from {made.answers:,} answers of {one_line(made.teacher)}; {_cost(made.tokens, made.usd)}",
        "",
        *_balance(made.written, made.wanted),
    ]
    if made.left_out:
        told += ["", "lines left out:", *_counts(made.left_out)]
    labels = f" --labels {shlex.quote(','.join(config.labels))}" if config.labels else ""
    form = "--format text " if made.format == "text" else ""
    asked = f"--prompt {shlex.quote(str(config.prompt))} --queries {shlex.quote(str(config.output))}"
    told += [
        "",
        "Read them first: nobody knows yet whether they are what they were asked for.",
        one_line(f"next: pdistill run {asked}{labels} {form}--teacher {shlex.quote(made.teacher)}"),
    ]
    return "\n".join(told)


def show_estimate(made: WriteEstimate, config: WriteConfig, as_json: bool) -> str:
    """Return what would be asked, for people or as JSON."""
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
    told = [
        f"dry run: nothing is asked or written; the queries would stand in {one_line(str(config.output))}",
        "",
        *_balance({}, made.wanted),
        "",
        f"{one_line(plan.source.spec.id)} is asked in {plan.format}, with {len(plan.source.seeds):,} queries to go by.",
        f"At least {len(made.questions):,} requests: {_cost(made.tokens, made.usd)}, if every answer is as long as it may be.",
        "Lines that can't be used are asked for again. The first request:",
        "",
        lines(_plain(first)),
    ]
    return "\n".join(told)


def taken(
    read: RequestLogs, count: int, output: Path, prompt: str, *, masked: bool, dry_run: bool, as_json: bool
) -> str:
    """Return what was taken from logs, for people or as JSON.

    Args:
        prompt: the file that holds the prompt, as it was given, or FILE.
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
    place = "would be" if dry_run else "are"
    told = [f"{_queries(count)} of {read.requests:,} requests {place} in {one_line(str(output))}"]
    if read.left_out:
        told += ["left out:", *_counts(dict(read.left_out.most_common()))]
    if masked:
        told += ["masked:", *_counts(dict(read.masked.most_common()))] if read.masked else ["nothing was masked"]
        told.append("Names and addresses are not found, nor anything else that has no form of its own: read the file.")
    if read.prompts > 1 and not read.selects:
        told.append(f"The requests have {read.prompts:,} different system messages; --prompt FILE takes those of one.")
    if not dry_run:
        told.append(one_line(f"next: pdistill run {shlex.join(['--prompt', prompt, '--queries', str(output)])}"))
    return "\n".join(told)


def _queries(count: int) -> str:
    return f"{count:,} {'query' if count == 1 else 'queries'}"


def _balance(written: Mapping[str, int], wanted: Mapping[str, int]) -> Iterator[str]:
    width = max(map(len, map(one_line, wanted)))
    for name, count in wanted.items():
        there = written.get(name, count)
        yield f"  {one_line(name).ljust(width)}  {there:,}" + ("" if there == count else f" of {count:,}")


def _counts(counts: Mapping[str, int]) -> list[str]:
    width = max(len(f"{count:,}") for count in counts.values())
    return [f"  {f'{count:,}'.rjust(width)}  {one_line(name)}" for name, count in counts.items()]


def _cost(tokens: Tokens, amount: float | None) -> str:
    money = "what they cost is unknown" if amount is None else f"{usd(amount)} in all" if amount else "no money"
    return f"{tokens.prompt:,} input tokens and {tokens.sampled:,} of answers, {money}"


def _cost_row(tokens: Tokens, amount: float | None) -> dict[str, Any]:
    return {"prompt_tokens": tokens.prompt, "sampled_tokens": tokens.sampled, "usd": amount}


def _plain(prompt: Prompt) -> str:
    if isinstance(prompt, Messages):
        return "\n\n".join(f"[{message.role}]\n{message.content}" for message in prompt.messages)
    return prompt.text
