import json
import time

import pytest

from pdistill.core.contract import constraint, patterns
from pdistill.core.contract.constraint import JsonSchema, Pattern
from pdistill.core.contract.jsontext import canonical_json, parse_json
from pdistill.core.contract.targets import HardTarget, Rejected
from pdistill.core.errors import TaskError, UsageError

SCHEMA = {
    "type": "object",
    "properties": {
        "item": {"type": "string", "pattern": "^[a-z]+$"},
        "count": {"type": "integer", "minimum": 1},
        "day": {"$ref": "#/$defs/day"},
    },
    "required": ["item", "count"],
    "additionalProperties": False,
    "$defs": {"day": {"enum": ["sat", "sun"]}},
}


def schema(value: object = SCHEMA) -> JsonSchema:
    return JsonSchema(json.dumps(value), "'s.json'")


def test_a_pattern_must_match_the_whole_answer() -> None:
    pattern = Pattern(r"(\d{1,2}):(\d\d)")
    assert pattern.read("9:30") == HardTarget("9:30")
    for text in ("at 9:30", "9:30\n10:00", "9:30."):
        assert pattern.read(text) == Rejected("does not match the pattern")
    assert (pattern.agreement("9:30", "9:30"), pattern.agreement("9:30", "09:30")) == (1, 0)


@pytest.mark.parametrize("pattern", ["(", "[a", "*", "(?P<a>x)(?P=b)"])
def test_a_pattern_that_is_none(pattern: str) -> None:
    with pytest.raises(UsageError, match=r"the pattern '.*' is not a valid regular expression: .* at position \d"):
        Pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("a{99999999}", r"'a\{9+\}' is over 100,000 characters long with its repetitions"),
        ("(a{1000}){1000}", "is over 100,000 characters"),
        ("([(]a{400}b){400}", "is over 100,000 characters"),
        ("(?R)", r"'\(\?R\)' calls itself endlessly"),
        ("(" * 5000 + ")" * 5000, r"the pattern '\({57}\.\.\.' is nested too deeply"),
    ],
)
def test_a_pattern_without_bounds_is_refused_at_once(pattern: str, message: str) -> None:
    started = time.monotonic()
    with pytest.raises(UsageError, match=message):
        Pattern(pattern)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("pattern", [r"(a{1000}b){90}", r"\({3}[(]{400}\p{L}{400}", "(?<n>a)(?&n)", "a{0,65535}"])
def test_a_long_pattern_is_compiled(pattern: str) -> None:
    assert isinstance(Pattern(pattern).read("x"), Rejected)


def test_a_schema_whose_references_grow_without_bounds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constraint, "MOST_REFERENCES", 100)
    twice = {f"a{at}": {"allOf": [{"$ref": f"#/$defs/a{at + 1}"}] * 2} for at in range(30)}
    with pytest.raises(UsageError, match=r"'s.json' follows over 100 references for one answer"):
        schema({"$defs": {**twice, "a30": {}}, "$ref": "#/$defs/a0"})
    below = schema({"$defs": {**twice, "a30": {}}, "properties": {"x": {"$ref": "#/$defs/a0"}}})
    for _ in range(200):
        assert below.read("{}") == HardTarget("{}")
    with pytest.raises(TaskError, match="follows over 100 references for one answer"):
        below.read('{"x": 1}')


def test_the_default_of_a_schema_is_not_read_as_a_schema() -> None:
    assert schema({"default": {"pattern": "*"}}).read("1") == HardTarget("1")


def test_a_pattern_that_would_take_years_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "MATCH_TIMEOUT", 0.05)
    with pytest.raises(TaskError, match=r"matching the pattern '\(a\|aa\)\+b' took over 0.05 s on the answer 'aaa"):
        Pattern("(a|aa)+b").read("a" * 60)
    with pytest.raises(TaskError, match="took over 0.05 s"):
        schema({"pattern": "^(a|aa)+b$"}).read(json.dumps("a" * 60))


def test_an_answer_by_the_schema_keeps_its_own_words() -> None:
    text = '{ "count":3, "item": "roll","day":"sun" }'
    assert schema().read(text) == HardTarget(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("two rolls", "not JSON"),
        ('```json\n{"item": "roll", "count": 2}\n```', "not JSON"),
        ('{"item": "roll", "count": NaN}', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("1" * 5_000, "not JSON"),
        ("[]", "breaks the schema at type"),
        ('{"item": "roll"}', "breaks the schema at required"),
        ('{"item": "roll", "count": 0}', "breaks the schema at properties/count/minimum"),
        ('{"item": "Roll", "count": 1}', "breaks the schema at properties/item/pattern"),
        ('{"item": "roll", "count": 1, "day": "mon"}', "breaks the schema at properties/day/enum"),
        ('{"item": "roll", "count": 1, "note": "x"}', "breaks the schema at additionalProperties"),
    ],
)
def test_invalid_answer_says_where(text: str, reason: str) -> None:
    assert schema().read(text) == Rejected(reason)


@pytest.mark.parametrize(
    ("one", "other", "agreement"),
    [
        ('{"a": 1, "b": 2}', '{"b":2,"a":1.0}', 1),
        ('{"a": 1, "b": 2}', '{"a": 1, "b": 3}', 1 / 2),
        ('{"a": 1}', '{"a": true}', 0),
        ('{"a": 1, "b": 2}', '{"a": 1, "c": 2}', 1 / 3),
        ('{"a": {"x": 1, "y": [1, 2]}}', '{"a": {"y": [1, 2], "x": 1}}', 1),
        ("{}", "{}", 1),
        ("[1, 2]", "[1,2]", 1),
        ("[1, 2]", "[2, 1]", 0),
        ('{"a": 1}', "[1]", 0),
        ('{"a": 1}', "no JSON", 0),
        ("", "", 1),
    ],
)
def test_objects_agree_field_by_field(one: str, other: str, agreement: float) -> None:
    assert schema().agreement(one, other) == pytest.approx(agreement)
    assert schema().agreement(other, one) == pytest.approx(agreement)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "'s.json' is not JSON: expecting property name"),
        ('{"type": "objekt"}', r"'s.json' is not a JSON schema: .*objekt.* \(at type\)"),
        ('{"pattern": "("}', r"the pattern '\(' of 's.json' is not a valid regular expression"),
        (
            '{"patternProperties": {"a{99999999}": {}}}',
            r"the pattern 'a\{9+\}' of 's.json' is over 100,000 characters",
        ),
        ('{"$ref": "http://["}', r"'s.json' refers to 'http://\[', which it does not contain"),
        ('{"properties": {"a": {"$id": "b", "$ref": "#/c"}}}', "'s.json' refers to '/c', which it does not contain"),
        ('{"$schema": "http://["}', "'s.json' is not a JSON schema"),
        ('{"$id": 5}', "'s.json' is not a JSON schema"),
        ('{"properties": {"a": {"$ref": "#/$defs/b"}}}', "'s.json' refers to '.*/b', which it does not contain"),
        ('{"properties": {"a": {"$ref": "https://example.org/s"}}}', "refers to 'https://example.org/s'.*is fetched"),
        ('{"$ref": "#"}', "'s.json' refers to itself endlessly"),
        ("7", "'s.json' is not a JSON schema: it is not an object"),
        ('{"$schema": []}', "'s.json' is not a JSON schema"),
        (
            '{"$id": "https://example.org/s", "$ref": "other"}',
            "refers to 'https://example.org/other'|refers to 'other'",
        ),
    ],
)
def test_invalid_schema(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        JsonSchema(text, "'s.json'")


def test_a_schema_of_an_older_draft_is_read_by_its_own_rules() -> None:
    tuple_of_two = {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}, True]}
    assert isinstance(schema(tuple_of_two).read("[1, 2]"), Rejected)
    assert isinstance(schema(tuple_of_two).read('["a", 2]'), HardTarget)


def test_equal_values_are_one_text() -> None:
    assert canonical_json(parse_json('{"b": [2.0], "a": "é"}')) == canonical_json(
        parse_json('{"a": "\\u00e9", "b": [2]}')
    )
