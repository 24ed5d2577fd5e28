"""Constraints on answers that are not labels: text that matches a pattern, or JSON that conforms to a schema."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Protocol

from pdistill.core.contract.jsontext import parse_json
from pdistill.core.contract.likeness import fields
from pdistill.core.contract.patterns import compiled, matches
from pdistill.core.contract.sampling import Allowed
from pdistill.core.contract.targets import HardTarget, Rejected
from pdistill.core.errors import TaskError, UsageError

MOST_REFERENCES = 20_000
"""References that checking one answer may follow; a few dozen definitions that each refer to the next one twice need years."""
VALUES = ("const", "enum", "default", "examples")
"""The keywords of a schema whose values are not schemas."""
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
        UsageError: it is not a valid regular expression, or too large.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.allowed = Allowed(pattern=pattern)
        self._compiled = compiled(pattern)

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
        self._followed = 0
        dialect = self._schema.get("$schema", "") if isinstance(self._schema, dict) else ""
        if not isinstance(self._schema, dict | bool) or not isinstance(dialect, str):
            raise UsageError(f'{name} is not a JSON schema: it is not an object, or its "$schema" is not a string')
        self._check(dialect)

    def read(self, text: str) -> HardTarget | Rejected:
        """Return the unchanged text as the target where it is JSON that conforms to the schema; else what it violates.

        Raises:
            TaskError: matching a pattern of the schema takes too long, or its references are too many.
        """
        from jsonschema.exceptions import best_match
        from referencing.exceptions import Unresolvable

        try:
            self._followed = 0
            error = best_match(self._validator.iter_errors(parse_json(text)))
        except Unresolvable as unresolved:
            raise self._unresolved(unresolved) from None
        except UsageError:
            raise
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
        follow = kind.VALIDATORS["$ref"]

        def counted(validator: Any, reference: str, instance: Any, schema: Any) -> Iterator[Exception]:
            self._followed += 1
            if self._followed > MOST_REFERENCES:
                raise TaskError(
                    f"{self._name} follows over {MOST_REFERENCES:,} references for one answer; let its definitions refer to each "
                    "other less often"
                )
            yield from follow(validator, reference, instance, schema) or ()

        return extend(kind, {"pattern": _keeps_to_pattern, "$ref": counted})(self._schema, registry=REGISTRY)

    def _check(self, dialect: str) -> None:
        """Guarantee that it is a schema whose references all resolve within it: nothing is fetched.

        Raises:
            UsageError: it is not.
        """
        from jsonschema.exceptions import SchemaError
        from jsonschema_specifications import REGISTRY
        from referencing.exceptions import Unresolvable
        from referencing.jsonschema import DRAFT202012, specification_with

        for pattern in _patterns(self._schema):
            compiled(pattern, f" of {self._name}")
        try:
            self._validator.check_schema(self._schema)
            resource = specification_with(dialect, default=DRAFT202012).create_resource(self._schema)
            resolver = REGISTRY.with_resource("", resource).resolver("")
            for reference, within in _references(resource, resolver):
                within.lookup(reference)
            self._validator.is_valid(None)
        except SchemaError as error:
            place = "/".join(map(str, error.absolute_path)) or "its root"
            raise UsageError(f"{self._name} is not a JSON schema: {error.message[:200]} (at {place})") from None
        except Unresolvable as error:
            raise self._unresolved(error) from None
        except TaskError as error:
            raise UsageError(str(error)) from None
        except RecursionError:
            raise UsageError(f"{self._name} refers to itself endlessly; put the reference below a property") from None
        except (ValueError, AttributeError, TypeError) as error:  # of the libraries, for an id that is none
            raise UsageError(f"{self._name} is not a JSON schema: {error}") from None

    def _unresolved(self, error: Any) -> UsageError:
        return UsageError(
            f"{self._name} refers to '{error.ref[:80]}', which it does not contain; define it under \"$defs\": nothing is fetched"
        )


def _keeps_to_pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Exception]:
    """Yield what jsonschema's own keyword "pattern" yields, but raise a TaskError where it takes too long."""
    from jsonschema.exceptions import ValidationError

    if validator.is_type(instance, "string") and not matches(compiled(pattern).search, pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _patterns(schema: Any) -> Iterator[str]:
    """Yield the patterns of a schema; what is an example or a value is not part of it."""
    values = [schema]
    while values:
        value = values.pop()
        if isinstance(value, Mapping):
            names = value.get("patternProperties")
            yield from names if isinstance(names, Mapping) else ()
            yield from [value["pattern"]] if isinstance(value.get("pattern"), str) else []
            values += [part for key, part in value.items() if key not in VALUES]
        elif isinstance(value, list):
            values += value


def _references(resource: Any, resolver: Any) -> Iterator[tuple[str, Any]]:
    """Yield each reference of a schema, with the resolver of the part that it is in, which may have an id of its own."""
    parts = [(resource, resolver)]
    while parts:
        resource, resolver = parts.pop()
        within = resolver.in_subresource(resource)
        if isinstance(resource.contents, Mapping) and isinstance(resource.contents.get("$ref"), str):
            yield resource.contents["$ref"], within
        parts += [(part, within) for part in resource.subresources()]
