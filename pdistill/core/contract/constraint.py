"""What answers must be where they are no labels: text that matches a pattern, or JSON that keeps to a schema."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Protocol

from pdistill.core.contract.jsontext import parsed
from pdistill.core.contract.likeness import fields
from pdistill.core.contract.sampling import Allowed
from pdistill.core.contract.targets import HardTarget, Rejected
from pdistill.core.errors import TaskError, UsageError

LONGEST = 5.0
"""Seconds that a pattern may work on one answer; some patterns would take years for a few dozen characters."""
NO_MATCH = Rejected("does not match the pattern")
NO_JSON = Rejected("not JSON")


class Constraint(Protocol):
    """Says which answers are valid, and how far two of them agree."""

    allowed: Allowed

    def read(self, text: str) -> HardTarget | Rejected:
        """Return an answer, without white space at its ends, as the target it is, or why it is none."""

    def agreement(self, text: str, other: str) -> float:
        """Return how far two targets agree, from 0 to 1."""


class Pattern:
    """A regular expression that the whole answer must match.

    Args:
        pattern: as Python's `re` and the package `regex` read it.

    Raises:
        UsageError: it is no regular expression.
    """

    def __init__(self, pattern: str) -> None:
        import regex

        self.pattern = pattern
        self.allowed = Allowed(pattern=pattern)
        try:
            self._compiled = regex.compile(pattern)
        except regex.error as error:
            raise UsageError(
                f"the pattern {pattern!r} is no regular expression: {error.msg} at position {error.pos}; "
                "see docs.python.org/3/library/re.html"
            ) from None

    def read(self, text: str) -> HardTarget | Rejected:
        """Return the text as it stands where all of it matches.

        Raises:
            TaskError: the pattern takes too long on it.
        """
        return HardTarget(text) if matches(self._compiled.fullmatch, self.pattern, text) else NO_MATCH

    def agreement(self, text: str, other: str) -> float:
        """Return whether both are the same text."""
        return float(text == other)


class JsonSchema:
    """A JSON schema that the answer must keep to.

    An answer is kept in the teacher's own words: order of keys and white space are learnt too. They make no difference to
    agreement, which is the share of fields that are equal where both are objects, and else equality.

    Args:
        schema: the schema, as text.
        name: what errors call it.

    Raises:
        UsageError: it is no JSON, or no schema.
    """

    def __init__(self, schema: str, name: str = "the schema") -> None:
        self.schema = schema
        self.allowed = Allowed(json_schema=schema)
        try:
            self._schema = parsed(schema)
        except ValueError as error:
            raise UsageError(f"{name} is not JSON: {str(error).lower()}") from None
        self._name = name
        dialect = self._schema.get("$schema", "") if isinstance(self._schema, dict) else ""
        if not isinstance(self._schema, dict | bool) or not isinstance(dialect, str):
            raise UsageError(f'{name} is no JSON schema: it is no object, or its "$schema" no text')
        self._check(dialect)

    def read(self, text: str) -> HardTarget | Rejected:
        """Return the text as it stands where it is JSON that keeps to the schema; else what it breaks.

        Raises:
            TaskError: a pattern of the schema takes too long on it.
        """
        from jsonschema.exceptions import best_match

        try:
            error = best_match(self._validator.iter_errors(parsed(text)))
        except (ValueError, ArithmeticError, RecursionError):
            return NO_JSON
        if error is None:
            return HardTarget(text)
        return Rejected(f"breaks the schema at {'/'.join(map(str, error.absolute_schema_path)) or 'its root'}")

    def agreement(self, text: str, other: str) -> float:
        """Return the share of fields that are equal, among all that either object has; else whether the values are equal."""
        return fields(text, other)

    @cached_property
    def _validator(self) -> Any:
        from jsonschema import Draft202012Validator
        from jsonschema.validators import extend, validator_for
        from jsonschema_specifications import REGISTRY

        kind = validator_for(self._schema, default=Draft202012Validator)
        return extend(kind, {"pattern": _keeps_to_pattern})(self._schema, registry=REGISTRY)

    def _check(self, dialect: str) -> None:
        """Guarantee that it is a schema, and that all it refers to is in it: nothing is fetched.

        Raises:
            UsageError: it isn't.
        """
        from jsonschema.exceptions import SchemaError
        from jsonschema_specifications import REGISTRY
        from referencing.exceptions import Unresolvable
        from referencing.jsonschema import DRAFT202012, specification_with

        resource = specification_with(dialect, default=DRAFT202012).create_resource(self._schema)
        resolver = REGISTRY.with_resource(resource.id() or "", resource).resolver(resource.id() or "")
        try:
            self._validator.check_schema(self._schema)
            for reference in _references(self._schema):
                resolver.lookup(reference)
            self._validator.is_valid(None)
        except SchemaError as error:
            place = "/".join(map(str, error.absolute_path)) or "its root"
            raise UsageError(f"{self._name} is no JSON schema: {error.message} (at {place})") from None
        except Unresolvable as error:
            raise UsageError(
                f"{self._name} refers to '{error.ref}', which is not in it; write it under \"$defs\": nothing is fetched"
            ) from None
        except RecursionError:
            raise UsageError(
                f"{self._name} refers to itself without end; let a reference stand below a property"
            ) from None


def matches(match: Any, pattern: str, text: str) -> bool:
    """Return whether a compiled pattern's `match` finds something in the text.

    Raises:
        TaskError: it takes too long.
    """
    try:
        return match(text, timeout=LONGEST) is not None
    except TimeoutError:
        raise TaskError(
            f"the pattern {pattern!r} worked for {LONGEST:g} s on the answer {text[:40]!r}; write it without repetitions in "
            "repetitions, such as (a|aa)+, into a new run, which takes the answers with --from"
        ) from None


def _keeps_to_pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Exception]:
    """Yield what jsonschema's own keyword "pattern" yields, but give up where it takes too long."""
    import regex
    from jsonschema.exceptions import ValidationError

    if validator.is_type(instance, "string") and not matches(regex.compile(pattern).search, pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _references(schema: Any) -> Iterator[str]:
    """Yield what a schema refers to; nothing where parts of it have names of their own, which only a validator follows."""
    values = [schema]
    found: list[str] = []
    while values:
        value = values.pop()
        if isinstance(value, Mapping):
            if value is not schema and isinstance(value.get("$id"), str):
                return
            found += [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            values += value.values()
        elif isinstance(value, list):
            values += value
    yield from found
