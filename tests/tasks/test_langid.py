from collections import Counter

import pytest

from pdistill.core.contract.queries import Query, numbered
from pdistill.core.contract.sampling import Completion
from pdistill.core.contract.targets import EMPTY, NOT_A_LABEL, HardTarget
from pdistill.core.numerics.split import Groups
from pdistill.tasks.langid import LABELS, LanguageIdentification
from pdistill.testing import check_task, task_checks

LANGUAGES = [label for label in LABELS if label != "ot"]
RULES = ("code", "number", "mixed", "short", "romanized", "noisy")


@pytest.fixture(scope="module")
def task() -> LanguageIdentification:
    return LanguageIdentification()


@pytest.fixture(scope="module")
def queries(task: LanguageIdentification) -> list[Query]:
    return list(numbered(task.queries))


@pytest.mark.parametrize("check", task_checks())
def test_task_passes_the_checks(check: str, task: LanguageIdentification) -> None:
    check_task(task, check)


def test_there_are_queries_for_every_language_and_every_rule(queries: list[Query]) -> None:
    count = Counter(name for query in queries for name in query.slices)
    assert all(count[language] >= 120 for language in LANGUAGES)
    assert all(count[rule] >= 150 for rule in RULES)
    others = {name for query in queries if "other" in query.slices for name in query.slices} - {"other"}
    assert len(others) >= 8
    assert count["other"] >= 300


def test_every_query_has_a_label_for_reference_and_none_is_there_twice(queries: list[Query]) -> None:
    assert {query.reference for query in queries} == set(LABELS)
    folded = [" ".join(query.text.casefold().split()) for query in queries]
    assert len(set(folded)) == len(folded)


def test_no_template_prints_queries(queries: list[Query]) -> None:
    assert max(Counter(placed.group for placed in Groups(lambda: queries)).values()) <= 3
    openings = Counter(" ".join(query.text.split()[:3]) for query in queries if len(query.text.split()) > 3)
    assert max(openings.values()) <= 5


def test_lengths_vary_up_to_80_words(queries: list[Query]) -> None:
    lengths = sorted(len(query.text.split()) for query in queries if "plain" in query.slices)
    assert lengths[len(lengths) // 10] <= 6
    assert lengths[-len(lengths) // 20] >= 35
    assert max(lengths) <= 90


def test_the_first_queries_are_a_fair_sample(queries: list[Query]) -> None:
    assert {query.reference for query in queries[:200]} == set(LABELS)


def test_the_prompt_names_every_label(task: LanguageIdentification) -> None:
    assert all(f":{label} (" in task.prompt for label in LABELS)


@pytest.mark.parametrize("response", LABELS)
def test_a_label_is_an_answer(task: LanguageIdentification, response: str) -> None:
    assert task.target(Query("x"), Completion(f" {response}\n", "stop")) == HardTarget(response)


@pytest.mark.parametrize("response", ["DE", "German", "de.", "The label is de", "de fr", "xx", '"de"'])
def test_label_is_never_guessed_from_a_sentence(task: LanguageIdentification, response: str) -> None:
    assert task.target(Query("x"), Completion(response, "stop")) == NOT_A_LABEL


def test_empty_text_is_not_an_answer(task: LanguageIdentification) -> None:
    assert task.target(Query("x"), Completion(" \n", "stop")) == EMPTY
