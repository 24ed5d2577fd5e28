"""Writes the JSON schemas in docs/reference, of `--config` files and of report.json: `python docs/generate_schema.py`."""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pdistill.core.results.schema import FORM
from pdistill.core.setup.config import OPTIONS, Config
from pdistill.core.setup.configfile import RENAMED

FOLDER = Path(__file__).parent / "reference"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def config_schema() -> str:
    """Return the schema of configuration files: the keys with hyphens, their help and their ranges."""
    made = TypeAdapter(Config).json_schema()["properties"]
    keys = {option: key for key, option in RENAMED.items()}
    properties = {}
    for option in OPTIONS:
        limits = {"exclusiveMinimum": option.spec.above, "minimum": option.spec.minimum, "maximum": option.spec.maximum}
        properties[keys.get(option.name, option.name.replace("_", "-"))] = {
            "description": option.description,
            **_plain(made[option.name]),
            **{key: limit for key, limit in limits.items() if limit is not None},
        }
    whole = {
        "$schema": DIALECT,
        "title": "Options of pdistill run in a TOML file",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }
    return json.dumps(whole, indent=2) + "\n"


def report_schema() -> str:
    """Return the schema of reports. It allows unknown keys, because a later version may add some."""
    made = FORM.json_schema()
    return json.dumps({"$schema": DIALECT, **_open(made), "title": "report.json of pdistill"}, indent=2) + "\n"


def _open(value: Any) -> Any:
    """Return a schema without titles, which repeat the keys, and without the prohibition of other keys."""
    if isinstance(value, list):
        return [_open(item) for item in value]
    if not isinstance(value, dict):
        return value
    left_out = {"title": str, "additionalProperties": bool}
    return {key: _open(item) for key, item in value.items() if not isinstance(item, left_out.get(key, ()))}


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    """Return a property without its title and without null, which TOML does not have."""
    kept = {key: item for key, item in value.items() if key not in ("title", "default", "anyOf", "format")}
    if value.get("default") not in (None, {}, []):
        kept["default"] = value["default"]
    options = [item for item in value.get("anyOf", []) if item.get("type") != "null"]
    return {**(_plain(options[0]) if options else {}), **kept}


SCHEMAS = {"config.schema.json": config_schema, "report.schema.json": report_schema}

if __name__ == "__main__":
    for name, schema in SCHEMAS.items():
        (FOLDER / name).write_text(schema(), encoding="utf-8")
