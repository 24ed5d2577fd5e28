"""The registries that plugins fill: for each component a name, a factory and typed options."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pdistill.core.errors import PluginError, unknown

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NoOptions:
    """The options of a component without options."""


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """One registered component.

    Args:
        name: what the user types.
        create: creates the component from its options, an instance of `options`.
        options: a frozen dataclass; its fields are the keys that `-T` or `-B` accepts.
        summary: a one-line description.
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
            create: called with an instance of `options`; put slow imports in there.
            options: a frozen dataclass whose fields all have defaults. A backend's may have a method `check_model(name)`, which
                raises a BackendError for a mistyped name; it is called before `create`, which may be slow.
            summary: one line for listings.

        Raises:
            PluginError: the name is already registered, or is not of that form.
        """
        if not name.replace("-", "").isalnum() or name != name.lower():
            raise PluginError(f"the {self.kind} name '{name}' is not made of lower-case letters, digits and hyphens")
        self._add(Entry(name, create, options, summary, self.plugin))

    def remove(self, name: str) -> None:
        """Remove the component of that name: tests register some temporarily."""
        del self._entries[name]

    def merge(self, other: "Registry[T]") -> None:
        """Add every component of another registry.

        Raises:
            PluginError: a name is already registered.
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
