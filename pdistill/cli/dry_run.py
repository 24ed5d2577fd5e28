"""What a run would do, shown token by token; and a look for the prompt in the student's input."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pdistill.cli.console import output
from pdistill.cli.escape import one_line
from pdistill.core.contract.prompts import QUERY_FIELD, Messages, Prompt
from pdistill.core.money.cost import StageCosts
from pdistill.core.preview import NO_REFERENCE, Preview, PreviewExample, PreviewToken, preview
from pdistill.core.results.markdown import cost_of_stages
from pdistill.core.setup.config import Config
from pdistill.core.setup.inputs import read_inputs
from pdistill.core.store.records import from_row

LEAST = 20
"""Characters of a line of the prompt that can't stand in a query by chance."""

COUNTED = 1_000
"""Queries at the most that the prompt is looked for in."""

SEPARATOR = "\N{MIDDLE DOT}"


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A preview, the options as they hold, and in how many of the queries looked at the student sees the prompt."""

    preview: Preview
    options: Mapping[str, Any]
    looked_at: int
    with_prompt: int


def foresee(config: Config) -> Foreseen:
    """Return what a run would do, and whether the prompt, or a line of it, stands in the student's input.

    Raises:
        PdistillError: the run could not begin.
    """
    made = preview(config)
    source = read_inputs(config)
    task = source.task.bound(format=made.settings["format"])
    parts = _parts(task.prompt)
    inputs = [_spoken(task.student_prompt(query)) for query in islice(source.queries(), COUNTED)]
    shown = ["".join(token.text for token in example.tokens) for example in made.examples]
    found = sum(any(part in text for part in parts) for text in inputs)
    found = found or sum(any(part in text for part in parts) for text in shown)
    settled = {key: value for key, value in made.settings.items() if key not in ("renderer", "count", "first_line")}
    return Foreseen(made, {**config.asked(), **settled}, len(inputs), found)


def _parts(prompt: str) -> list[str]:
    """Return the lines of the prompt, without those so short that a query could hold them by chance."""
    lines = [line.strip() for part in prompt.split(QUERY_FIELD) for line in part.splitlines() if line.strip()]
    return [line for line in lines if len(line) >= LEAST] or lines


def _spoken(prompt: Prompt) -> str:
    return "\n".join(message.content for message in prompt.messages) if isinstance(prompt, Messages) else prompt.text


def as_row(foreseen: Foreseen) -> dict[str, Any]:
    """Return it as plain JSON values."""
    made = foreseen.preview
    return {
        "directory": made.directory,
        "exists": made.exists,
        "options": dict(foreseen.options),
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
        "prompt_in_student": {"queries": foreseen.looked_at, "found": foreseen.with_prompt},
        "examples": [asdict(example) for example in made.examples],
    }


def show(foreseen: Foreseen) -> None:
    """Write it to standard output, for people."""
    console, made = output(), foreseen.preview
    state = "goes on in" if made.exists else "would stand in"
    console.print(
        Text.assemble(("dry run", "bold"), f": nothing is asked or written; the run {state} {one_line(made.directory)}")
    )
    console.print()
    console.print(_settings(foreseen))
    console.print()
    for line in _lines(foreseen):
        console.print(line)
    for example in made.examples:
        console.print()
        _show_example(console, example)


def _settings(foreseen: Foreseen) -> Table:
    table = Table.grid(padding=(0, 2))
    for key, value in foreseen.options.items():
        if value is not False and value not in (None, [], {}):
            table.add_row(Text(key.replace("_", "-"), style="cyan"), Text(_plain(value)))
    for side, resolved in foreseen.preview.resolved.items():
        if resolved:
            table.add_row(Text(f"{side} on", style="cyan"), Text(_plain(resolved)))
    return table


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{one_line(str(key))} {_plain(item)}" for key, item in value.items())
    return ", ".join(map(_plain, value)) if isinstance(value, list) else one_line(str(value))


def _lines(foreseen: Foreseen) -> Iterator[Text]:
    made = foreseen.preview
    count, samples = made.settings["count"], made.settings["samples"]
    yield Text(
        f"Queries: {count:,}, {samples:,} answer{'s' if samples > 1 else ''} each; {made.train:,} to train on, "
        f"{made.held_out:,} held out."
    )
    where = f"mean of {count:,} queries"
    if made.prompt_teacher is None:
        yield Text(
            f"Input tokens a call: {made.prompt_student:,.1f} without the prompt; with it only the service knows ({where})."
        )
    else:
        saved = made.prompt_teacher - made.prompt_student
        yield Text(
            f"Input tokens a call: {made.prompt_teacher:,.1f} with the prompt, {made.prompt_student:,.1f} without; "
            f"{saved:,.1f} saved ({where})."
        )
    yield from _cost(made)
    if foreseen.with_prompt:
        yield Text(
            f"Warning: the student's input holds the prompt, or a line of it, in {foreseen.with_prompt:,} of "
            f"{foreseen.looked_at:,} queries looked at.",
            style="bold red",
        )
    else:
        yield Text(
            f"The prompt stands nowhere in the student's input: no line of it was found in {foreseen.looked_at:,} queries "
            f"and the tokens of {len(made.examples)} examples.",
            style="green",
        )


def _cost(made: Preview) -> Iterator[Text]:
    """Yield what the run will cost at the most, and by which prices."""
    longest = made.settings["max_tokens"]
    yield Text(
        f"Cost at the most, with {longest:,} tokens an answer: {cost_of_stages(from_row(StageCosts, made.cost))}"
    )
    for side, prices in made.cost["prices"].items():
        name = one_line(made.settings[side])
        if prices is None:
            yield Text(
                f"What the {side} {name} costs is unknown; give -B {side}.price_prompt=USD, price_sampled and price_trained "
                "likewise (USD per million tokens)."
            )
        elif prices["prompt"] or prices["sampled"] or prices["trained"]:
            source = ", ".join(filter(None, (one_line(prices["source"]), prices["date"])))
            yield Text(
                f"Price of the {side} {name}, USD per million tokens: {prices['prompt']:g} of prompts, "
                f"{prices['sampled']:g} of answers, {prices['trained']:g} of training ({source})."
            )
        else:
            yield Text(f"The {side} {name} costs no money.")


def _show_example(console: Console, example: PreviewExample) -> None:
    coloured = console.color_system is not None and not console.no_color
    trained = sum(token.trained for token in example.tokens)
    mark = "shown reversed" if coloured else "in [brackets]"
    counts = f"{len(example.tokens):,} tokens, loss on the {trained:,} {mark}"
    console.print(Text(f"Example {one_line(example.id)}: {counts}", style="bold"))
    if example.target == NO_REFERENCE:
        console.print(Text(f"(no answer is known yet; {NO_REFERENCE} stands for the teacher's)"))
    line = Text()
    for token in example.tokens:
        piece = _marked(token, coloured)
        if line and line.cell_len + piece.cell_len > console.width:
            console.print(line)
            line = Text()
        line.append_text(piece)
    console.print(line)


def _marked(token: PreviewToken, coloured: bool) -> Text:
    """Return the token's text, marked where the loss falls on it, and a dot that ends it."""
    text = one_line(token.text)
    if not token.trained:
        marked = Text(text)
    elif coloured:
        marked = Text(text, style="reverse bold green")
    else:
        marked = Text(f"[{text}]")
    return Text.assemble(marked, (SEPARATOR, "dim"))
