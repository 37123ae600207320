"""Stage 2: blocks of 2-D kernels of different sizes over time and frequency.

Tensors are ``[batch, channel, time, frequency]``. How a stream runs a block hop by hop is in ``live_step``.
"""

from typing import Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TimeFreqConv(nn.Module):
    """A 2-D convolution, 'same' along frequency, causal (or centred) along time."""

    def __init__(self, c_in: int, c_out: int, kernel: Tuple[int, int], dilation: int, causal: bool):
        super().__init__()
        self.dilation = dilation if kernel[0] > 1 else 1
        self.reach = (kernel[0] - 1) * self.dilation  # past columns needed, in hops
        self.left = self.reach if causal else self.reach // 2
        self.conv = nn.Conv2d(
            c_in, c_out, kernel, dilation=(self.dilation, 1), padding=(0, kernel[1] // 2), bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.reach > 0:
            x = F.pad(x, (0, 0, self.left, self.reach - self.left))
        return self.conv(x)


def conv_bn(c_in: int, c_out: int, width: int = 1, stride: int = 1) -> nn.Sequential:
    """One-frame convolution over frequency, at every ``stride``-th position, with batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, (1, width), stride=(1, stride), padding=(0, width // 2), bias=False), nn.BatchNorm2d(c_out)
    )


class InceptionBlock(nn.Module):
    """Parallel kernels side by side: wide and narrow in frequency, short and long in time.

    1x1 reduction, four branches on a quarter of the reduced channels each, 1x1 projection, residual.
    """

    # (hops, positions): local motion, continuity
    MOTION, HOLD = (3, 3), (5, 1)

    def __init__(self, channels: int, branch_channels: int, dilation: int, causal: bool, widths: Tuple[int, int] = (15, 5)):
        """``widths``: positions that the first two branches meet, harmonic neighbourhood and partial shape."""
        super().__init__()
        b = branch_channels
        self.b = b
        self.reduce = conv_bn(channels, 4 * b)
        self.wide = TimeFreqConv(b, b, (1, widths[0]), dilation, causal)
        self.narrow = TimeFreqConv(b, b, (1, widths[1]), dilation, causal)
        self.motion = TimeFreqConv(b, b, self.MOTION, dilation, causal)
        self.hold = TimeFreqConv(b, b, self.HOLD, dilation, causal)
        self.mix_norm = nn.BatchNorm2d(4 * b)
        self.project = conv_bn(4 * b, channels)

    def forward(self, x: Tensor) -> Tensor:
        wide, narrow, motion, hold = torch.split(torch.relu(self.reduce(x)), self.b, 1)
        branches = (self.wide(wide), self.narrow(narrow), self.motion(motion), self.hold(hold))
        return self._join(x, torch.cat(branches, 1))

    def _join(self, x: Tensor, branches: Tensor) -> Tensor:
        return torch.relu(x + self.project(torch.relu(self.mix_norm(branches))))


class StackedBlock(nn.Module):
    """The ablation: plain 3x3 convolutions, one kernel size, no parallel branches."""

    def __init__(self, channels: int, branch_channels: int, dilation: int, causal: bool, widths: Tuple[int, int] = (3, 3)):
        super().__init__()
        self.conv = TimeFreqConv(channels, channels, (3, 3), dilation, causal)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x)))


BLOCKS = {"inception": InceptionBlock, "stacked": StackedBlock}
