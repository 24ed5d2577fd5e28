"""Starts the server on 127.0.0.1; it runs until it is ended."""

import argparse
from pathlib import Path

import uvicorn

from tests.backends.tinker.tuft_on_cpu.patches import patch_tuft

CONTEXT = 2048
"""Tokens of prompt and answer together."""
SETTINGS = {"max_model_len": CONTEXT, "max_lora_rank": 32, "max_loras": 16, "micro_batch_size": 8}
"""TuFT's own, for every model."""


def main() -> None:
    """Serve the models that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", action="append", required=True, metavar="NAME=PATH", help="may be repeated")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--dir", type=Path, required=True, help="folder for the checkpoints")
    parser.add_argument("--api-key", required=True, help="the only key that is accepted")
    options = parser.parse_args()
    patch_tuft()
    from tuft.config import AppConfig
    from tuft.server import create_root_app

    from tests.backends.tinker.tuft_on_cpu.gateway import Gateway

    models = [(name, path) for name, _, path in (model.partition("=") for model in options.model)]
    config = AppConfig.model_validate(
        {
            "checkpoint_dir": str(options.dir),
            "supported_models": [{"model_name": name, "model_path": path, **SETTINGS} for name, path in models],
            "authorized_users": {options.api_key: "default"},
        }
    )
    config.ensure_directories()
    uvicorn.run(Gateway(create_root_app(config), options.dir), host="127.0.0.1", port=options.port)


if __name__ == "__main__":
    main()
