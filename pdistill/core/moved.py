"""The module paths of version 0.1 that plugins import: they keep working for one release, with a warning."""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from importlib.abc import Loader

PARTS = (
    "batches", "constraint", "exporter", "hookspecs", "interfaces", "likeness", "prices", "prompts", "queries",
    "queryfiles", "registry", "sampling", "targets", "task",
)  # fmt: skip
MOVED = {f"pdistill.core.{part}": f"pdistill.core.contract.{part}" for part in PARTS}
MOVED |= {f"pdistill.core.{name}": f"pdistill.core.setup.{name}" for name in ("config", "configfile")}
RENAMED = {"Ability": "Capability", "ExportForm": "ExportSpec", "Exported": "LoadedExport", "student_prompt": "framed"}


class MovedModules:
    """Finds the old module paths after every other finder has failed; each hands on the names of the new module.

    It has no base class because importlib.abc takes as long to import as all of click's types.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to make a module of that old path, or None."""
        return ModuleSpec(name, cast("Loader", self)) if name in MOVED else None

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave the making of the module to Python."""

    def exec_module(self, module: ModuleType) -> None:
        """Let the module look its names up in the new one."""
        old, new = module.__name__, MOVED[module.__name__]

        def look_up(name: str) -> object:
            if name.startswith("__"):
                raise AttributeError(f"module '{old}' has no attribute '{name}'")
            name = RENAMED.get(name, name)
            value: object = getattr(import_module(new), name)
            public = "pdistill.plugin" if ".contract." in new else "pdistill"
            place = public if hasattr(import_module(public), name) else new
            warnings.warn(f"{old} has moved; import {name} from {place}", DeprecationWarning, stacklevel=2)
            return value

        module.__getattr__ = look_up  # type: ignore[method-assign]


sys.meta_path.append(MovedModules())
