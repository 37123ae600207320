"""From a configuration to its network."""

from collections.abc import Callable

from rt_melody.models.config import ModelConfig
from rt_melody.models.hybrid import HybridNet
from rt_melody.models.mcdnn import MultiColumnNet
from rt_melody.models.network import Network, TwoStageNet
from rt_melody.models.paper import PaperNet, Stage1Alone

FAMILIES: dict[str, Callable[[ModelConfig], Network]] = {
    "live": TwoStageNet, "paper": PaperNet, "stage1": Stage1Alone, "mcdnn": MultiColumnNet, "hybrid": HybridNet,
}


def build_network(config: ModelConfig) -> Network:
    """A fresh network. Raises ValueError for a family that is none."""
    if config.family not in FAMILIES:
        raise ValueError(f"model family {config.family!r} is unknown; known are {', '.join(FAMILIES)}")
    return FAMILIES[config.family](config)
