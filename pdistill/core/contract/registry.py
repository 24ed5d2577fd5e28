"""The registries that plugins fill: a name, how to make the component, its typed options."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pdistill.core.errors import PluginError, unknown

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NoOptions:
    """The options of a component that has none."""


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """One registered component.

    Args:
        name: what the user types.
        create: makes the component from its options, an instance of `options`.
        options: a frozen dataclass; its fields are the keys that `-T` or `-B` takes.
        summary: one line that says what it is.
        plugin: the plugin that registered it.
    """

    name: str
    create: Callable[[Any], T]
    options: type
    summary: str
    plugin: str


class Registry(Generic[T]):
    """Components of one kind ("backend" or "task") by name, registered by one plugin."""

    def __init__(self, kind: str, plugin: str = "") -> None:
        self.kind = kind
        self.plugin = plugin
        self._entries: dict[str, Entry[T]] = {}

    def register(self, name: str, create: Callable[[Any], T], *, options: type = NoOptions, summary: str = "") -> None:
        """Add a component.

        Args:
            name: lower-case letters, digits and hyphens.
            create: called with an instance of `options`; import what is heavy in there.
            options: a frozen dataclass whose fields all have defaults.
            summary: one line for listings.

        Raises:
            PluginError: the name is taken, or is not of that form.
        """
        if not name.replace("-", "").isalnum() or name != name.lower():
            raise PluginError(f"the {self.kind} name '{name}' is not made of lower-case letters, digits and hyphens")
        self._add(Entry(name, create, options, summary, self.plugin))

    def remove(self, name: str) -> None:
        """Forget the component of that name: tests register some for a while."""
        del self._entries[name]

    def merge(self, other: "Registry[T]") -> None:
        """Add all that another registry holds.

        Raises:
            PluginError: a name is taken.
        """
        for entry in other:
            self._add(entry)

    def _add(self, entry: Entry[T]) -> None:
        if entry.name in self._entries:
            first = self._entries[entry.name].plugin
            raise PluginError(
                f"two plugins register the {self.kind} '{entry.name}': {first} and {entry.plugin}; uninstall one of them"
            )
        self._entries[entry.name] = entry

    def __getitem__(self, name: str) -> Entry[T]:
        """Return the component of that name.

        Raises:
            UsageError: there is none.
        """
        if name not in self._entries:
            raise unknown(self.kind, name, self._entries)
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[Entry[T]]:
        return iter(sorted(self._entries.values(), key=lambda entry: entry.name))

    def __len__(self) -> int:
        return len(self._entries)
