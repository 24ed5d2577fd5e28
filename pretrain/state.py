"""The state of a training: everything that changes, stored and restored."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pretrain.network import Network
from pretrain.optimizer import Optimizer
from pretrain.probes import Probes

AVERAGE = 0.99


@dataclass
class State:
    """Everything that changes in training."""

    network: Network
    probes: Probes
    optimizer: Optimizer
    average: list[torch.Tensor]
    step: int = 0

    def save(self, path: Path) -> None:
        """Store the state atomically; a kill leaves either the old or the new one."""
        content = {
            "network": self.network.state_dict(),
            "probes": self.probes.state_dict(),
            "optimizer": self.optimizer.state(),
            "average": self.average,
            "step": self.step,
            "random": torch.get_rng_state(),
        }
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Resume from a stored state."""
        content: dict[str, Any] = torch.load(path, weights_only=True)
        self.network.load_state_dict(content["network"])
        self.probes.load_state_dict(content["probes"])
        self.optimizer.restore(content["optimizer"])
        self.average = content["average"]
        self.step = content["step"]
        torch.set_rng_state(content["random"])

    def averaged(self) -> Network:
        """A network with the running average of the weights."""
        network = Network(self.network.shape)
        with torch.no_grad():
            for parameter, average in zip(network.parameters(), self.average, strict=True):
                parameter.copy_(average)
        return network

    @torch.no_grad()
    def follow(self) -> None:
        """Move the average of the weights towards them, faster at the beginning."""
        share = 1 - min(AVERAGE, (1 + self.step) / (10 + self.step))
        for average, parameter in zip(self.average, self.network.parameters(), strict=True):
            average.lerp_(parameter, share)
