"""MCDNN, a compared system, rebuilt: Kum, Oh and Nam, "Melody extraction on vocal segments using multi-column
deep neural networks", ISMIR 2016.

Known, from the authors' project page, slides and published program: 8 kHz, Hann windows of 1024 samples each 10 ms,
level of the bins under 2 kHz (256) in dB re the recording's loudest; 11 frames in; three columns of dense layers
512, 512, 256 with batch normalisation, ReLU and dropout 0.2; column r tells r classes a semitone, r = 1, 2, 4, of
the notes 38 to 78; coarser classes are repeated onto the finest grid and the columns' likelihoods multiplied; an HMM
whose transitions are counted from the labels smooths over time; voicing comes from a network of its own, 512, 256,
128, out of one frame's spectrum and what the coarsest column tells.

Inferred or changed, so that every row of our table is trained alike: the columns are trained together, by the
cross-entropy of their product over voiced frames and not one by one by binary cross-entropies with a class for "no
pitch"; our optimiser and augmentation in place of RMSprop and pitch-shifted copies; the input is normalised by
running statistics instead of a training set's; the voicing threshold is chosen on validation singers (theirs: 0.2);
the voicing network does not push its error back into the column. At 16 kHz the window has 2048 samples, which gives
the same bins under 2 kHz.
"""

from functools import reduce
from itertools import pairwise

import torch
from torch import Tensor, nn

from rt_melody.models.config import ModelConfig
from rt_melody.models.network import Network, Output
from rt_melody.models.spectrum import magnitudes, relative_level

WINDOW_SAMPLES = 2048  # at 16 kHz
SPECTRUM_BINS = 256
CONTEXT_FRAMES = 11
COLUMN_SIZES = (512, 512, 256)
VOICING_SIZES = (512, 256, 128)
RESOLUTIONS = (1, 2, 4)  # classes a semitone
DROPOUT = 0.2


def dense(sizes: tuple[int, ...], classes: int) -> nn.Sequential:
    """Dense layers with normalisation, ReLU and dropout, then a dense layer to ``classes``; over the last axis."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after, bias=False), LastNorm(after), nn.ReLU(), nn.Dropout(DROPOUT)]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], classes))


class LastNorm(nn.Module):
    """Batch normalisation of the last axis ``[..., n]``."""

    def __init__(self, size: int):
        super().__init__()
        self.norm = nn.BatchNorm1d(size)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.flatten(0, -2)).view(x.shape)


class MultiColumnNet(Network):
    """See the module text. Offline only; ``config`` gives rate, hop and the finest pitch grid.

    Raises ValueError for a grid that is not of quarter semitones or no whole number of semitones long.
    """

    smoothed = True  # by an HMM, when it is evaluated

    def __init__(self, config: ModelConfig):
        super().__init__()
        finest = RESOLUTIONS[-1]
        if config.bins_per_semitone != finest or config.pitch_bins % finest:
            raise ValueError(
                f"{config.pitch_bins} bins, {config.bins_per_semitone:g} a semitone: "
                f"the MCDNN needs {finest} a semitone and whole semitones"
            )
        self.config, self.hop = config, config.hop_samples
        semitones = config.pitch_bins // finest
        self.norm = LastNorm(SPECTRUM_BINS)
        inputs = CONTEXT_FRAMES * SPECTRUM_BINS
        self.columns = nn.ModuleList([dense((inputs, *COLUMN_SIZES), r * semitones) for r in RESOLUTIONS])
        self.voice = dense((SPECTRUM_BINS + semitones, *VOICING_SIZES), 1)

    def whole(self, waveform: Tensor) -> Output:
        """``[B, T * hop] -> Output`` with one head, which speaks of each hop's end."""
        with torch.autocast(waveform.device.type, enabled=False):
            spectrum = self.norm(relative_level(magnitudes(waveform, WINDOW_SAMPLES, self.hop, SPECTRUM_BINS)))
        context = with_neighbours(spectrum, CONTEXT_FRAMES)
        told = [torch.log_softmax(column(context).float(), 2) for column in self.columns]
        finest = RESOLUTIONS[-1]
        likelihood = reduce(torch.add, [t.repeat_interleave(finest // r, 2) for t, r in zip(told, RESOLUTIONS)])
        voicing = self.voice(torch.cat([spectrum, told[0].detach().exp()], 2))
        return Output(likelihood.unsqueeze(1), voicing)


def with_neighbours(x: Tensor, frames: int) -> Tensor:
    """Each frame with its neighbours, the first and the last repeated beyond the ends ``[B, T, n] -> [B, T, frames * n]``."""
    half = frames // 2
    padded = torch.cat([x[:, :1].expand(-1, half, -1), x, x[:, -1:].expand(-1, half, -1)], 1)
    return padded.unfold(1, frames, 1).flatten(2)
