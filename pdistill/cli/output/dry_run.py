"""The dry run: what a run would do, token by token, and whether the student's input contains the prompt."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pdistill.cli.escape import one_line
from pdistill.cli.output.console import output
from pdistill.core.contract.prompts import QUERY_FIELD, Messages, Prompt
from pdistill.core.money.cost import StageCosts
from pdistill.core.preview import NO_REFERENCE, Preview, PreviewExample, PreviewToken, preview
from pdistill.core.results.markdown import cost_of_stages
from pdistill.core.setup.config import Config
from pdistill.core.setup.inputs import read_inputs
from pdistill.core.store.records import from_row

MIN_LENGTH = 20
"""Length in characters from which a line of the prompt can't be in a query by chance."""

MAX_SEARCHED = 1_000
"""The maximum number of queries that are searched for the prompt."""

SEPARATOR = "\N{MIDDLE DOT}"


@dataclass(frozen=True, slots=True)
class DryRun:
    """A preview, the resolved options, and in how many of the searched queries the student's input contains the prompt."""

    preview: Preview
    options: Mapping[str, Any]
    searched: int
    with_prompt: int


def dry_run_of(config: Config) -> DryRun:
    """Return what a run would do, and whether the student's input contains the prompt, or a line of it.

    Raises:
        PdistillError: the run could not start.
    """
    made = preview(config)
    source = read_inputs(config)
    task = source.task.bound(format=made.settings["format"])
    parts = _parts(task.prompt)
    inputs = [_text(task.student_prompt(query)) for query in islice(source.queries(), MAX_SEARCHED)]
    shown = ["".join(token.text for token in example.tokens) for example in made.examples]
    matches = sum(any(part in text for part in parts) for text in inputs)
    matches = matches or sum(any(part in text for part in parts) for text in shown)
    resolved = {key: value for key, value in made.settings.items() if key not in ("renderer", "count", "first_line")}
    return DryRun(made, {**config.asked(), **resolved}, len(inputs), matches)


def _parts(prompt: str) -> list[str]:
    """Return the lines of the prompt, without those so short that a query could contain them by chance."""
    lines = [line.strip() for part in prompt.split(QUERY_FIELD) for line in part.splitlines() if line.strip()]
    return [line for line in lines if len(line) >= MIN_LENGTH] or lines


def _text(prompt: Prompt) -> str:
    return "\n".join(message.content for message in prompt.messages) if isinstance(prompt, Messages) else prompt.text


def as_row(dry_run: DryRun) -> dict[str, Any]:
    """Return the dry run as plain JSON values."""
    made = dry_run.preview
    return {
        "directory": made.directory,
        "exists": made.exists,
        "options": dict(dry_run.options),
        "queries": made.settings["count"],
        "train": made.train,
        "held_out": made.held_out,
        "resolved": dict(made.resolved),
        "tokens": {
            "prompt_teacher": made.prompt_teacher,
            "prompt_student": made.prompt_student,
            "saved_per_call": None if made.prompt_teacher is None else made.prompt_teacher - made.prompt_student,
        },
        "cost_at_most": dict(made.cost),
        "prompt_in_student": {"queries": dry_run.searched, "found": dry_run.with_prompt},
        "examples": [asdict(example) for example in made.examples],
    }


def show(dry_run: DryRun) -> None:
    """Write the dry run to standard output, as text."""
    console, made = output(), dry_run.preview
    state = "would resume in" if made.exists else "would be saved in"
    console.print(
        Text.assemble(
            ("dry run", "bold"), f": no model is called, nothing is written; the run {state} {one_line(made.directory)}"
        )
    )
    console.print()
    console.print(_settings(dry_run))
    console.print()
    for line in _lines(dry_run):
        console.print(line)
    for example in made.examples:
        console.print()
        _show_example(console, example)


def _settings(dry_run: DryRun) -> Table:
    table = Table.grid(padding=(0, 2))
    for key, value in dry_run.options.items():
        if value is not False and value not in (None, [], {}):
            table.add_row(Text(key.replace("_", "-"), style="cyan"), Text(_plain(value)))
    for side, resolved in dry_run.preview.resolved.items():
        if resolved:
            table.add_row(Text(f"{side} runs on", style="cyan"), Text(_plain(resolved)))
    return table


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{one_line(str(key))} {_plain(item)}" for key, item in value.items())
    return ", ".join(map(_plain, value)) if isinstance(value, list) else one_line(str(value))


def _lines(dry_run: DryRun) -> Iterator[Text]:
    made = dry_run.preview
    count, samples = made.settings["count"], made.settings["samples"]
    yield Text(
        f"Queries: {count:,}, with {samples:,} teacher sample{'s' if samples > 1 else ''} each; {made.train:,} for training, "
        f"{made.held_out:,} held out."
    )
    where = f"mean of {count:,} queries"
    if made.prompt_teacher is None:
        yield Text(
            f"Input tokens per call: {made.prompt_student:,.1f} without the prompt; with it, only the service knows ({where})."
        )
    else:
        saved = made.prompt_teacher - made.prompt_student
        yield Text(
            f"Input tokens per call: {made.prompt_teacher:,.1f} with the prompt, {made.prompt_student:,.1f} without; "
            f"{saved:,.1f} saved ({where})."
        )
    yield from _cost(made)
    if dry_run.with_prompt:
        yield Text(
            f"Warning: the student's input contains the prompt, or a line of it, in {dry_run.with_prompt:,} of "
            f"{dry_run.searched:,} queries searched.",
            style="bold red",
        )
    else:
        yield Text(
            f"The student's input does not contain the prompt: no line of it is in {dry_run.searched:,} queries or in the tokens "
            f"of {len(made.examples)} examples.",
            style="green",
        )


def _cost(made: Preview) -> Iterator[Text]:
    """Yield what the run costs at most, and the prices."""
    longest = made.settings["max_tokens"]
    cost = cost_of_stages(from_row(StageCosts, made.cost))
    yield Text(f"Cost at most, with {longest:,} tokens per answer: {cost}")
    for side, prices in made.cost["prices"].items():
        name = one_line(made.settings[side])
        if prices is None:
            yield Text(
                f"The price of the {side} {name} is unknown; give -B {side}.price_prompt=USD, and likewise price_sampled and "
                "price_trained (USD per million tokens)."
            )
        elif prices["prompt"] or prices["sampled"] or prices["trained"]:
            source = ", ".join(filter(None, (one_line(prices["source"]), prices["date"])))
            yield Text(
                f"Price of the {side} {name}, USD per million tokens: {prices['prompt']:g} input, {prices['sampled']:g} output, "
                f"{prices['trained']:g} training ({source})."
            )
        else:
            yield Text(f"The {side} {name} is free of charge.")


def _show_example(console: Console, example: PreviewExample) -> None:
    coloured = console.color_system is not None and not console.no_color
    trained = sum(token.trained for token in example.tokens)
    mark = "highlighted" if coloured else "in [brackets]"
    counts = f"{len(example.tokens):,} tokens, with the loss on the {trained:,} {mark}"
    console.print(Text(f"Example {one_line(example.id)}: {counts}", style="bold"))
    if example.target == NO_REFERENCE:
        console.print(Text(f"(without a reference; {NO_REFERENCE} is a placeholder for the teacher's answer)"))
    line = Text()
    for token in example.tokens:
        piece = _marked(token, coloured)
        if line and line.cell_len + piece.cell_len > console.width:
            console.print(line)
            line = Text()
        line.append_text(piece)
    console.print(line)


def _marked(token: PreviewToken, coloured: bool) -> Text:
    """Return the token's text, marked if the loss is computed on it, and a dot as its end."""
    text = one_line(token.text)
    if not token.trained:
        marked = Text(text)
    elif coloured:
        marked = Text(text, style="reverse bold green")
    else:
        marked = Text(f"[{text}]")
    return Text.assemble(marked, (SEPARATOR, "dim"))
