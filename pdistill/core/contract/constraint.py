"""Constraints on answers that are not labels: text that matches a pattern, or JSON that conforms to a schema."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Protocol

from pdistill.core.contract.jsontext import parse_json
from pdistill.core.contract.likeness import fields
from pdistill.core.contract.sampling import Allowed
from pdistill.core.contract.targets import HardTarget, Rejected
from pdistill.core.errors import TaskError, UsageError

MATCH_TIMEOUT = 5.0
"""Seconds that matching a pattern against one answer may take; some patterns need years for a few dozen characters."""
NO_MATCH = Rejected("does not match the pattern")
NO_JSON = Rejected("not JSON")


class Constraint(Protocol):
    """Decides which answers are valid, and how far two of them agree."""

    allowed: Allowed

    def read(self, text: str) -> HardTarget | Rejected:
        """Return the target for an answer without surrounding whitespace, or a rejection with its reason."""

    def agreement(self, text: str, other: str) -> float:
        """Return the agreement of two targets, from 0 to 1."""


class Pattern:
    """A regular expression that the whole answer must match.

    Args:
        pattern: as Python's `re` and the package `regex` read it.

    Raises:
        UsageError: it is not a valid regular expression.
    """

    def __init__(self, pattern: str) -> None:
        import regex

        self.pattern = pattern
        self.allowed = Allowed(pattern=pattern)
        try:
            self._compiled = regex.compile(pattern)
        except regex.error as error:
            raise UsageError(
                f"the pattern {pattern!r} is not a valid regular expression: {error.msg} at position {error.pos}; "
                "see docs.python.org/3/library/re.html"
            ) from None

    def read(self, text: str) -> HardTarget | Rejected:
        """Return the unchanged text as the target where all of it matches.

        Raises:
            TaskError: matching takes too long.
        """
        return HardTarget(text) if matches(self._compiled.fullmatch, self.pattern, text) else NO_MATCH

    def agreement(self, text: str, other: str) -> float:
        """Return whether both are the same text."""
        return float(text == other)


class JsonSchema:
    """A JSON schema that the answer must conform to.

    An answer is kept exactly as the teacher wrote it: the order of keys and whitespace are learnt too. They do not
    affect agreement, which is the fraction of equal fields for two objects, and equality for other values.

    Args:
        schema: the schema, as text.
        name: the name of the schema in error messages.

    Raises:
        UsageError: it is not JSON, or not a JSON schema.
    """

    def __init__(self, schema: str, name: str = "the schema") -> None:
        self.schema = schema
        self.allowed = Allowed(json_schema=schema)
        try:
            self._schema = parse_json(schema)
        except ValueError as error:
            raise UsageError(f"{name} is not JSON: {str(error).lower()}") from None
        self._name = name
        dialect = self._schema.get("$schema", "") if isinstance(self._schema, dict) else ""
        if not isinstance(self._schema, dict | bool) or not isinstance(dialect, str):
            raise UsageError(f'{name} is not a JSON schema: it is not an object, or its "$schema" is not a string')
        self._check(dialect)

    def read(self, text: str) -> HardTarget | Rejected:
        """Return the unchanged text as the target where it is JSON that conforms to the schema; else what it violates.

        Raises:
            TaskError: matching a pattern of the schema takes too long.
        """
        from jsonschema.exceptions import best_match

        try:
            error = best_match(self._validator.iter_errors(parse_json(text)))
        except (ValueError, ArithmeticError, RecursionError):
            return NO_JSON
        if error is None:
            return HardTarget(text)
        return Rejected(f"breaks the schema at {'/'.join(map(str, error.absolute_schema_path)) or 'its root'}")

    def agreement(self, text: str, other: str) -> float:
        """Return the fraction of equal fields among all fields of two objects; for other values, whether they are equal."""
        return fields(text, other)

    @cached_property
    def _validator(self) -> Any:
        from jsonschema import Draft202012Validator
        from jsonschema.validators import extend, validator_for
        from jsonschema_specifications import REGISTRY

        kind = validator_for(self._schema, default=Draft202012Validator)
        return extend(kind, {"pattern": _keeps_to_pattern})(self._schema, registry=REGISTRY)

    def _check(self, dialect: str) -> None:
        """Guarantee that it is a schema whose references all resolve within it: nothing is fetched.

        Raises:
            UsageError: it is not.
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
            raise UsageError(f"{self._name} is not a JSON schema: {error.message} (at {place})") from None
        except Unresolvable as error:
            raise UsageError(
                f"{self._name} refers to '{error.ref}', which it does not contain; define it under \"$defs\": nothing is fetched"
            ) from None
        except RecursionError:
            raise UsageError(f"{self._name} refers to itself endlessly; put the reference below a property") from None


def matches(match: Any, pattern: str, text: str) -> bool:
    """Return whether the `match` function of a compiled pattern matches the text.

    Raises:
        TaskError: it takes too long.
    """
    try:
        return match(text, timeout=MATCH_TIMEOUT) is not None
    except TimeoutError:
        raise TaskError(
            f"matching the pattern {pattern!r} took over {MATCH_TIMEOUT:g} s on the answer {text[:40]!r}; avoid nested "
            "repetitions such as (a|aa)+ and start a new run, which reuses the answers with --from"
        ) from None


def _keeps_to_pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Exception]:
    """Yield what jsonschema's own keyword "pattern" yields, but raise a TaskError where it takes too long."""
    import regex
    from jsonschema.exceptions import ValidationError

    if validator.is_type(instance, "string") and not matches(regex.compile(pattern).search, pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _references(schema: Any) -> Iterator[str]:
    """Yield the references of a schema; none where parts of it have ids of their own, which only a validator resolves."""
    values = [schema]
    references: list[str] = []
    while values:
        value = values.pop()
        if isinstance(value, Mapping):
            if value is not schema and isinstance(value.get("$id"), str):
                return
            references += [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            values += value.values()
        elif isinstance(value, list):
            values += value
    yield from references
