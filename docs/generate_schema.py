"""Writes docs/reference/config.schema.json, the JSON schema of `--config` files: `python docs/generate_schema.py`."""

import inspect
import json
import re
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pdistill.core.config import Config

FILE = Path(__file__).parent / "reference" / "config.schema.json"
RENAMED = {"from_run": "from"}


def schema() -> str:
    """Return the schema: the keys with hyphens, described as in Config."""
    made = TypeAdapter(Config).json_schema()
    described = _descriptions(inspect.getdoc(Config) or "")
    properties = {}
    for key, value in made["properties"].items():
        name = RENAMED.get(key, key.replace("_", "-"))
        properties[name] = {"description": described[key], **_plain(value)}
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Options of pdistill run in a TOML file",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }
    return json.dumps(whole, indent=2) + "\n"


def _descriptions(text: str) -> dict[str, str]:
    """Return what the docstring says of each argument."""
    arguments = text.partition("Args:\n")[2]
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", arguments, re.MULTILINE)
    return {name: re.sub(r"\s+", " ", said).replace("None", "none") for name, said in found}


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    """Return a property without its title and without null, which TOML has not."""
    kept = {key: item for key, item in value.items() if key not in ("title", "default", "anyOf", "format")}
    if value.get("default") not in (None, {}, []):
        kept["default"] = value["default"]
    options = [item for item in value.get("anyOf", []) if item.get("type") != "null"]
    return {**(_plain(options[0]) if options else {}), **kept}


if __name__ == "__main__":
    FILE.write_text(schema(), encoding="utf-8")
