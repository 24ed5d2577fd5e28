"""Measures of the built-in model: `python -m pretrain.measure CORPORA MODEL --prompt FILE --queries DIR`."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import click
import torch
from tokenizers import Tokenizer

from pretrain import corpora, words
from pretrain.answers import Answerer
from pretrain.cases import Composer
from pretrain.corpora import KEPT_OUT, NAMES, OTHERS
from pretrain.draws import usual
from pretrain.export import read_weights
from pretrain.labels import SINGLE_TOKENS
from pretrain.network import Network, Shape
from pretrain.policy import BASE_MODES, TURNED_MODES, Case, Policy, answer
from pretrain.prompts import Odds, Prompt, Shipped, composed, relabelled
from pretrain.romanize import ROMANIZED
from pretrain.stream import read_prompt

KINDS_OF = {"numbers": ["number"], "code": ["code"], "mixed": ["even"], "short": ["short"], "romanized": ["romanized"]}


@dataclass
class Tally:
    """Right answers out of all answers, by key."""

    right: dict[str, int]
    seen: dict[str, int]

    def add(self, key: str, hit: bool) -> None:
        """Count an answer."""
        self.right[key] += hit
        self.seen[key] += 1

    def rows(self) -> dict[str, dict[str, float]]:
        """Share and n by key."""
        return {key: {"share": round(self.right[key] / n, 4), "n": n} for key, n in sorted(self.seen.items())}


def tally() -> Tally:
    """An empty tally."""
    return Tally(defaultdict(int), defaultdict(int))


class Measures:
    """Every measure, on held-out sentences and fresh cases; `size` scales how many."""

    def __init__(self, answerer: Answerer, composer: Composer, shipped: Shipped, size: int) -> None:
        self.answerer, self.composer, self.shipped, self.size = answerer, composer, shipped, size
        self.rng = random.Random(20)  # noqa: S311

    def _count(self, prompt: Prompt, cases: list[Case], keys: list[str], into: Tally) -> None:
        """Count the answers to the cases under each of the keys, in which `{kind}`, `{language}` and `{label}` stand for the case's."""
        asked = [(case, label) for case in cases if (label := answer(prompt.policy, case)) is not None]
        hits = self.answerer.right(prompt.text, [case for case, _ in asked], [label for _, label in asked])
        for (case, label), hit in zip(asked, hits, strict=True):
            for key in keys:
                into.add(key.format(kind=case.kind, language=case.language, label=label), hit)

    def _usual(self, count: int) -> list[Case]:
        return [self.composer.compose(*usual(self.rng), self.rng) for _ in range(count)]

    def as_shipped(self) -> Tally:
        """Accuracy with the shipped prompt: overall, by kind of case and by label."""
        result = tally()
        keys = ["all", "kind {kind}", "label {label}"]
        self._count(self.shipped.exact(), self._usual(25 * self.size), keys, result)
        plain = [self.composer.compose("plain", language, self.rng) for language in NAMES for _ in range(self.size)]
        self._count(self.shipped.exact(), plain, ["plain {language}"], result)
        others = [
            self.composer.compose("plain", language, self.rng) for language in OTHERS for _ in range(self.size // 2)
        ]
        self._count(self.shipped.exact(), others, ["plain others", "plain {language}"], result)
        return result

    def other_wordings(self, unseen: bool) -> Tally:
        """Accuracy with the same rules in other words."""
        result = tally()
        for _ in range(self.size // 4):
            prompt = composed(Policy(), self.rng, unseen)
            self._count(prompt, self._usual(60), ["all", "kind {kind}"], result)
        return result

    def _variants(self, policy: Policy) -> list[tuple[str, Prompt]]:
        variants = [("edited", self.shipped.edited(policy, self.rng)) for _ in range(2)]
        variants += [("composed", composed(policy, self.rng)) for _ in range(2)]
        return [*variants, *(("unseen", composed(policy, self.rng, unseen=True)) for _ in range(2))]

    def removed(self) -> Tally:
        """With a language left out, the fraction of its texts that become the other label."""
        result = tally()
        for language in NAMES:
            policy = Policy({other: other for other in NAMES if other != language})
            for form, prompt in self._variants(policy):
                cases = [self.composer.compose("plain", language, self.rng) for _ in range(self.size // 2)]
                self._count(prompt, cases, [form, f"{form} {{language}}"], result)
        return result

    def added(self) -> Tally:
        """With another language listed, the fraction of its texts that get its label."""
        result = tally()
        for language in OTHERS:
            policy = Policy({**{other: other for other in NAMES}, language: language})
            for form, prompt in self._variants(policy):
                cases = [self.composer.compose("plain", language, self.rng) for _ in range(self.size // 4)]
                self._count(prompt, cases, [form, f"{form} {{language}}"], result)
        return result

    def turned(self) -> Tally:
        """With a rule reversed, the fraction of the affected texts that get the new answer."""
        result = tally()
        for rule, mode in TURNED_MODES.items():
            policy = Policy(modes=BASE_MODES | {rule: mode})
            for form, prompt in self._variants(policy):
                languages = [language for language in NAMES if rule != "romanized" or language in ROMANIZED]
                drawn = (self.rng.choice(languages) for _ in range(2 * self.size))
                cases = [
                    self.composer.compose(self.rng.choice(KINDS_OF[rule]), language, self.rng) for language in drawn
                ]
                changed = [case for case in cases if answer(policy, case) != answer(Policy(), case)]
                self._count(prompt, changed, [form, f"{form} {rule}"], result)
        return result

    def relabelled(self) -> Tally:
        """Accuracy on plain texts of listed languages with labels swapped or from another set."""
        result = tally()
        for change in ("swap", "upper", "names", "words"):
            for _ in range(4):
                policy = relabelled(Policy(), self.rng, replace(Odds(other=0.0), **{change: 1.0}))
                prompt = self.shipped.edited(policy, self.rng)
                cases = [
                    self.composer.compose("plain", self.rng.choice(list(NAMES)), self.rng) for _ in range(self.size)
                ]
                self._count(prompt, cases, [change], result)
        return result

    def kept_out(self, held_out: corpora.Corpora) -> Tally:
        """For languages that nothing was trained on, the share that gets the other label."""
        result = tally()
        for language in KEPT_OUT:
            cases = [
                Case(text, "plain", language) for text in held_out[language] if corpora.word_count(text, language) >= 3
            ]
            self._count(self.shipped.exact(), cases, ["all", "{language}"], result)
        return result

    def queries(self, folder: Path) -> Tally:
        """Accuracy on the queries that the toolkit ships, by slice and by label."""
        result = tally()
        rows = [
            json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text("utf-8").splitlines()
        ]
        cases = [Case(row["query"], "plain") for row in rows]
        hits = self.answerer.right(self.shipped.text, cases, [row["reference"] for row in rows])
        for row, hit in zip(rows, hits, strict=True):
            slices = [f"slice {name}" for name in row["slices"]]
            for key in ["all", f"label {row['reference']}", *slices]:
                result.add(key, hit)
        return result

    def promptless(self) -> Tally:
        """Without a prompt, the fraction of answers that are a label of any set."""
        result = tally()
        known = set(SINGLE_TOKENS)
        for label in self.answerer.labels(None, self._usual(10 * self.size)):
            result.add("labels", label in known)
        return result


def measured(
    measures: Measures, held_out: corpora.Corpora, queries: Path | None
) -> dict[str, dict[str, dict[str, float]]]:
    """All measures by name."""
    found = {
        "shipped prompt": measures.as_shipped(),
        "other wordings": measures.other_wordings(unseen=False),
        "unseen wordings": measures.other_wordings(unseen=True),
        "language left out": measures.removed(),
        "language added": measures.added(),
        "rule turned": measures.turned(),
        "kept-out languages": measures.kept_out(held_out),
        "labels changed": measures.relabelled(),
        "without a prompt": measures.promptless(),
    }
    if queries is not None:
        found["shipped queries"] = measures.queries(queries)
    return {name: result.rows() for name, result in found.items()}


@click.command()
@click.argument("corpora_folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("model", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--prompt", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--queries", type=click.Path(exists=True, file_okay=False, path_type=Path), help="The toolkit's own queries."
)
@click.option(
    "--words", "word_file", required=True, type=click.Path(path_type=Path), help="words.json of the training."
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="JSON file for the figures.")
@click.option("--size", default=80, show_default=True, help="Approximate number of texts behind each figure.")
def main(
    corpora_folder: Path, model: Path, prompt: Path, queries: Path | None, word_file: Path, out: Path | None, size: int
) -> None:
    """Print the accuracy of MODEL, each figure with its n."""
    torch.set_num_threads(1)
    network = Network(Shape())
    read_weights(network, model / "model.safetensors")
    held_out = corpora.read(corpora_folder, "held-out")
    short = words.cached(corpora.read(corpora_folder), word_file).part("held-out")
    answerer = Answerer(network, Tokenizer.from_file(str(model / "tokenizer.json")))
    measures = Measures(answerer, Composer(held_out, short), Shipped(read_prompt(prompt)), size)
    found = measured(measures, held_out, queries)
    if out is not None:
        out.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, rows in found.items():
        click.echo(f"\n{name}")
        for key, row in rows.items():
            click.echo(f"  {key:28} {row['share']:.3f}  n={row['n']}")


if __name__ == "__main__":
    main()
