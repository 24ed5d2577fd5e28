"""Cases: a mixed text has a language that is clearly ahead, an even one has not."""

import random

import pytest

pytest.importorskip("anyascii")
pytest.importorskip("pypinyin")
pytest.importorskip("wordfreq")

from pretrain.cases import Composer
from pretrain.corpora import ALL_NAMES, Corpora, word_count
from pretrain.words import ShortTexts

SIZES = (3, 4, 5, 6, 8, 9, 12, 15, 20, 25)


def _corpora() -> Corpora:
    """For every language sentences of several lengths, in words that begin with the language's code."""
    return Corpora({code: [" ".join([f"{code}word"] * size) for size in SIZES] for code in ALL_NAMES})


def _shares(text: str) -> list[float]:
    """How many words each language of the text has, as parts of the whole, the largest first."""
    codes = [word.strip('"()«»-/,').lower()[:2] for word in text.split() if word.strip('"()«»-/,')]
    return sorted((codes.count(code) / len(codes) for code in set(codes)), reverse=True)


@pytest.fixture
def composer() -> Composer:
    words = {code: [f"{code}word"] for code in ALL_NAMES}
    return Composer(_corpora(), ShortTexts(words, {}, ["taxi"], ["Maria"]))


def test_a_mixed_text_has_more_than_twice_as_many_words_of_its_language(composer: Composer) -> None:
    for seed in range(200):
        case = composer.compose("mixed", "de", random.Random(seed))
        if case.kind == "mixed" and not {"zh", "ja", "th"} & {word[:2].lower() for word in case.text.split()}:
            assert _shares(case.text)[0] > 2 / 3


def test_evenly_mixed_text_has_similar_shares(composer: Composer) -> None:
    for seed in range(200):
        case = composer.compose("even", "de", random.Random(seed))
        if not {"zh", "ja", "th"} & {word[:2].lower() for word in case.text.split()}:
            assert max(_shares(case.text)) <= 0.55


def test_everyday_sentences_come_only_where_they_are_asked_for(composer: Composer) -> None:
    everyday = Composer(composer.corpora, composer.short, everyday=1.0)

    def texts(source: Composer) -> list[str]:
        return [source.passage("fr", random.Random(seed)) for seed in range(20)]

    assert all("frword" in text for text in texts(composer))
    assert not any("frword" in text for text in texts(everyday))


def test_a_text_without_spaces_is_counted_by_its_signs() -> None:
    assert word_count("一" * 17, "zh") == pytest.approx(10)
