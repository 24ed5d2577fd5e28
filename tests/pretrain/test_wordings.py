"""Wordings of the rules: every mode has its own, and what measures is nowhere in what trains."""

import random

import pytest

pytest.importorskip("tokenizers")

from pretrain import prompts, wordings
from pretrain.policy import BASE_MODES, TURNED_MODES, Policy
from pretrain.spintax import expand


def _expanded(texts: list[str]) -> set[str]:
    rng = random.Random(1)
    return {expand(text, rng) for text in texts for _ in range(50)}


@pytest.mark.parametrize("table", [wordings.RULES, wordings.UNSEEN])
def test_every_rule_has_wordings_in_every_mode(table: dict[str, dict[str, list[str]]]) -> None:
    wanted = {rule: {mode, TURNED_MODES.get(rule, mode)} for rule, mode in BASE_MODES.items()}

    assert {rule: set(modes) for rule, modes in table.items()} == wanted
    assert all(texts for modes in table.values() for texts in modes.values())


@pytest.mark.parametrize("rule", sorted(TURNED_MODES))
def test_no_wording_stands_for_both_modes_of_a_rule(rule: str) -> None:
    for table in (wordings.RULES, wordings.UNSEEN):
        first, second = (_expanded(texts) for texts in table[rule].values())

        assert not first & second


def test_unseen_wordings_are_not_trained_on() -> None:
    for rule, modes in wordings.UNSEEN.items():
        for mode, texts in modes.items():
            assert not set(texts) & _expanded(wordings.RULES[rule][mode])
    for unseen, trained in (
        (wordings.UNSEEN_INTRO, wordings.INTRO),
        (wordings.UNSEEN_FORMAT, wordings.FORMAT),
        (wordings.UNSEEN_LIST_HEAD, wordings.LIST_HEAD),
    ):
        assert not set(unseen) & _expanded(trained)


def test_phrases_are_filled_in_and_small_within_a_sentence() -> None:
    texts = [text for modes in wordings.RULES.values() for texts in modes.values() for text in texts]

    assert not any("<" in text for text in texts)
    assert not any("; If" in expand(text, random.Random(seed)) for text in texts for seed in range(5))


def test_a_prompt_names_every_label_that_its_policy_can_ask_for() -> None:
    for unseen in (False, True):
        policy = Policy(modes=BASE_MODES | TURNED_MODES)
        text = prompts.composed(policy, random.Random(3), unseen).text

        assert all(f":{label}" in text for label in policy.labels.values())
        assert policy.number_label in text
