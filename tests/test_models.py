"""The networks: hop by hop equals whole, no look-ahead beyond what is said, files that say what they are."""

import copy
import json
import zipfile
from typing import cast

import numpy as np
import pytest
import torch

from rt_melody.models.block_step import BlockStep, Program
from rt_melody.models.build import build_network
from rt_melody.models.config import ModelConfig, load_config
from rt_melody.models.filterbank import sinusoid_kernels
from rt_melody.models.live_step import LiveStep
from rt_melody.models.network import HarmonicStack, TwoStageNet
from rt_melody.models.paper import PaperNet, Stage1, Stage1Alone, peak_order
from rt_melody.models.shipped import SHIPPED_MODELS
from rt_melody.models.streaming import StreamingModel
from rt_melody.models.torchscript import META, ModelFileError, load_model, save_model

SMALL = ModelConfig(
    name="small", long_filters=60, positions=40, short_filters=8, channels=6, branch_channels=3,
    dilations=(1, 2, 4), context_size=12, look_ahead_ms=(0, 10, 40),
)


SHAPES = {
    "inception": {},
    "stacked": {"stage2": "stacked"},
    "coarse": {"coarseness": 2, "wide_positions": 7, "narrow_positions": 3},
    "coarser": {"coarseness": 4, "wide_positions": 5, "narrow_positions": 3},
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def trained(config, seed=0) -> TwoStageNet:
    """A network with statistics that are not those of its birth."""
    torch.manual_seed(seed)
    net = cast(TwoStageNet, build_network(config))
    for _ in range(3):
        net.whole(torch.randn(2, 160 * 30) * 0.1)
    return net.eval()


def begun(net, like) -> Program:
    program = Program(net)
    program.begin(like)
    return program


def stepped(net, wave, head, state=None):
    """Pitch logits and voicing logits of one head, hop by hop; the state after the last."""
    stream = state or begun(net, wave)
    padded, pitch, voicing = torch.nn.functional.pad(wave, (800, 0)), [], []
    for start in range(0, len(wave), 160):
        logits, logit = stream(padded[start : start + 960], head)
        pitch.append(logits)
        voicing.append(logit)
    return torch.stack(pitch), torch.stack(voicing), stream


@pytest.mark.parametrize("shape", SHAPES)
@torch.no_grad()
def test_hop_by_hop_equals_whole(shape):
    net = trained(ModelConfig(**{**SMALL.to_dict(), **SHAPES[shape]}))
    wave = torch.randn(160 * 60) * torch.linspace(1e-4, 1, 160 * 60)
    whole = net.whole(wave.unsqueeze(0))
    for head in range(3):
        pitch, voicing, _ = stepped(net, wave, head)
        torch.testing.assert_close(pitch, whole.pitch_logits[0, head], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(voicing, whole.voicing_logits[0, :, head], rtol=1e-4, atol=1e-4)


def by_block(net, wave, head, hops):
    """Pitch logits and voicing logits of one head, so many hops at once; the last block is filled up with silence."""
    block = BlockStep(net, LiveStep(net))
    count, pitch, voicing = len(wave) // 160, [], []
    windows = torch.nn.functional.pad(wave, (800, 160 * hops)).unfold(0, 960, 160)
    left = block.beginning(wave)
    for start in range(0, count, hops):
        logits, logit, left = block(windows[start : start + hops].contiguous(), left, head)
        pitch.append(logits)
        voicing.append(logit)
    return torch.cat(pitch)[:count], torch.cat(voicing)[:count]


@pytest.mark.parametrize("hops", (1, 2, 7, 64))
@pytest.mark.parametrize("shape", SHAPES)
@torch.no_grad()
def test_many_hops_at_once_equal_one_by_one(shape, hops):
    """Whatever their number: more than a kernel reaches back, fewer, or just one; loud, and at the floor of the level."""
    net = trained(ModelConfig(**{**SMALL.to_dict(), **SHAPES[shape]}))
    wave = torch.randn(160 * 70) * torch.logspace(-6, 0, 160 * 70)
    for head in (0, 2):
        one, many = stepped(net, wave, head)[:2], by_block(net, wave, head, hops)
        torch.testing.assert_close(many, one, rtol=0, atol=1e-4)


@torch.no_grad()
def test_what_follows_in_a_block_changes_nothing_before_it():
    net, wave = trained(SMALL), torch.randn(160 * 40)
    other = wave.clone()
    other[160 * 21 :] = torch.randn(160 * 19)
    (a, _), (b, _) = by_block(net, wave, 1, 16), by_block(net, other, 1, 16)
    assert torch.equal(a[:21], b[:21]) and not torch.equal(a[21], b[21])


@torch.no_grad()
def test_a_stream_is_its_state_and_nothing_else():
    """Two streams in turn on one network do not talk; a state that is not fresh changes what is heard."""
    net, wave = trained(SMALL), torch.randn(160 * 20)
    first, padded = begun(net, wave), torch.nn.functional.pad(wave, (800, 0))
    second = copy.copy(first)
    second.begin(wave)
    streams, logits = [first, second], [[], []]
    for start in range(0, len(wave), 160):
        for i, gain in enumerate((1.0, -0.3)):
            heard, _ = streams[i](gain * padded[start : start + 960], 0)
            logits[i].append(heard)
    torch.testing.assert_close(torch.stack(logits[0]), stepped(net, wave, 0)[0])
    again = stepped(net, wave, 0, streams[1])[0]
    assert not torch.allclose(again, stepped(net, wave, 0)[0], atol=1e-3)


@torch.no_grad()
def test_the_causal_network_never_looks_ahead():
    net = trained(SMALL)
    a = torch.randn(1, 160 * 40)
    for k in (0, 7, 39):
        b = a.clone()
        b[:, 160 * (k + 1) :] = torch.randn_like(b[:, 160 * (k + 1) :])
        x, y = net.whole(a), net.whole(b)
        torch.testing.assert_close(x.pitch_logits[:, :, : k + 1], y.pitch_logits[:, :, : k + 1], msg=f"hop {k}")
        if k < 39:
            assert not torch.equal(x.pitch_logits, y.pitch_logits)


@torch.no_grad()
def test_gain_does_not_matter_above_the_floor():
    """Responses are relative to a peak-hold of the level, so only the recurrent path's level input moves."""
    net = trained(SMALL)
    wave = torch.randn(1, 160 * 40) * 0.1
    graphs = []
    for gain in (1.0, 0.1):
        frames = torch.nn.functional.pad(wave * gain, (800, 0)).unfold(1, 960, 160)
        graphs.append(net._graphs(frames, net._hold_whole(net._level(frames)[1]))[0])
    torch.testing.assert_close(graphs[0], graphs[1], rtol=0, atol=1e-3)


def test_a_sinusoid_at_a_centre_has_modulus_one_and_peaks_there():
    centres = 100.0 * 2 ** (np.arange(40) / 10)
    kernels = sinusoid_kernels(960, centres, 16000)
    for i in (3, 20, 35):
        tone = np.cos(2 * np.pi * centres[i] / 16000 * np.arange(960))
        modulus = np.hypot(kernels[:40] @ tone, kernels[40:] @ tone)
        assert modulus.argmax() == i
        assert modulus[i] == pytest.approx(1.0, abs=0.05)


def test_the_harmonics_of_one_pitch_line_up():
    stack = HarmonicStack((0.5, 1.0, 2.0, 4.0), 12, 30)
    graph = torch.zeros(1, 1, 60)
    position = 10
    for octave in (-12, 0, 12, 24):
        if position + octave >= 0:
            graph[0, 0, position + octave] = 1.0
    np.testing.assert_array_equal(stack(graph)[0, :, 0, position].numpy(), [0, 1, 1, 1])
    np.testing.assert_array_equal(stack(graph)[0, :, 0, 22].numpy(), [1, 1, 1, 0])
    assert stack(graph).sum() == 6, "nothing appears elsewhere; beyond the graph there is silence"


# ---- files -----------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_saved_model_is_the_network_it_was(tmp_path):
    net = trained(SMALL)
    path = tmp_path / "m.pt"
    save_model(path, net, {"note": "a test"})
    model = StreamingModel(path)
    assert model.config == SMALL and model.provenance == {"note": "a test"}
    model.choose_head(10)
    wave = torch.randn(1, 160 * 20) * 0.1
    wanted = net.whole(wave)
    padded = np.concatenate([np.zeros(800, np.float32), wave[0].numpy()])
    for _ in range(2):
        for t in range(20):
            model.window[:] = padded[t * 160 : t * 160 + 960]
            logits, voicing = model.step()
            np.testing.assert_allclose(logits, wanted.pitch_logits[0, 1, t], rtol=1e-3, atol=1e-4)
            assert voicing == pytest.approx(float(wanted.voicing_logits[0, t, 1]), abs=1e-3)
        model.reset()


@pytest.mark.parametrize("name", SHIPPED_MODELS)
def test_a_shipped_model_is_the_configuration_of_its_name_and_its_checksum_is_true(name):
    import hashlib

    import yaml

    path = SHIPPED_MODELS[name]
    _, config, provenance = load_model(path)
    assert config == load_config(name) and StreamingModel(name).path == path
    beside = yaml.safe_load(path.with_suffix(".yaml").read_text())
    assert beside["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert beside["steps"] == provenance["steps"]
    assert path.stat().st_size < 6_000_000


def test_models_of_all_costs_speak_of_the_same_pitches_and_moments():
    """So that one may take the other's place: the decoder, the bounds and all that follows are the same."""
    live, light = (load_config(name) for name in ("live", "light"))
    np.testing.assert_array_equal(light.pitch_midi(), live.pitch_midi())
    assert light.look_ahead_ms == live.look_ahead_ms and light.hop_samples == live.hop_samples
    assert light.coarse_positions * 2 == light.positions == live.coarse_positions


def test_positions_that_are_no_whole_steps_are_refused():
    with pytest.raises(ValueError, match="40 positions cannot be told in steps of 3"):
        build_network(ModelConfig(**{**SMALL.to_dict(), "coarseness": 3}))


@pytest.mark.parametrize("content", (b"", b"not a model", b"PK\x03\x04 cut off"))
def test_a_file_that_is_no_model_is_refused(tmp_path, content):
    path = tmp_path / "wrong.pt"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="wrong.pt is not a model file"):
        load_model(path)


def test_a_missing_model_and_a_model_of_another_format_are_refused(tmp_path):
    with pytest.raises(ModelFileError, match="no model file"):
        load_model(tmp_path / "none.pt")
    path, other = tmp_path / "m.pt", tmp_path / "other.pt"
    save_model(path, trained(SMALL), {})
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(other, "w", zipfile.ZIP_STORED) as new:
        for item in old.infolist():
            data = old.read(item)
            if item.filename.endswith(META):
                data = json.dumps({**json.loads(data), "format": 99}).encode()
            new.writestr(item, data)
    with pytest.raises(ModelFileError, match="format 99"):
        load_model(other)


# ---- configurations ----------------------------------------------------------------------------------


def test_a_configuration_survives_its_dictionary_and_refuses_unknown_keys():
    assert ModelConfig.from_dict(json.loads(json.dumps(SMALL.to_dict()))) == SMALL
    with pytest.raises(ValueError, match="chanels"):
        ModelConfig.from_dict({"chanels": 3})
    with pytest.raises(ValueError, match="shipped are .*live, .*paper"):
        load_config("dead")


def test_the_pitch_grid_reaches_from_below_60_hz_to_above_1400_hz():
    midi = load_config("live").pitch_midi()
    assert 440 * 2 ** ((midi[0] - 69) / 12) < 60 and 440 * 2 ** ((midi[-1] - 69) / 12) > 1400
    np.testing.assert_allclose(np.diff(midi), 0.2, atol=1e-9)


# ---- the published model -----------------------------------------------------------------------------


def small_paper():
    return ModelConfig.from_dict({
        **load_config("paper").to_dict(), "long_filters": 16, "short_filters": 16, "positions": 40,
        "channels": 6, "branch_channels": 3,
    })


@torch.no_grad()
def test_the_graphs_of_the_published_model_are_centred_on_their_frames():
    stage1 = Stage1(small_paper()).eval()
    stage1.long_bank.weight[:] = torch.hann_window(960)
    stage1.short_bank.weight[:] = torch.hann_window(64)
    wave = torch.zeros(1, 8000)
    wave[0, 160 * 20] = 1.0
    graphs = stage1(wave)
    assert graphs.shape == (1, 2, 50, 16)
    assert graphs[0, :, :, 0].argmax(1).tolist() == [19, 19], "frame k is centred on sample (k + 1) * 160"


@torch.no_grad()
def test_a_steady_tone_is_a_steady_line_whatever_its_phase_and_level():
    stage1 = Stage1(small_paper()).eval()
    hz = 233.0
    stage1.long_bank.weight[:] = torch.cos(2 * torch.pi * hz / 16000 * torch.arange(960)) / 960
    tone = torch.sin(2 * torch.pi * hz / 16000 * torch.arange(16000))[None]
    line = stage1(tone)[0, 0, 10:-10, 0]
    assert line.std() < 0.06 * line.mean()
    torch.testing.assert_close(stage1(0.01 * tone), stage1(tone), atol=2e-3, rtol=1e-3)


@torch.no_grad()
def test_pretrained_banks_are_taken_in_order_of_frequency():
    config = small_paper()
    alone, net = Stage1Alone(config), PaperNet(config)
    net.take_stage1(alone)
    taken, source = net.stage1.long_bank.weight.numpy(), alone.stage1.long_bank.weight.numpy()
    assert peak_order(taken).tolist() == list(range(16))
    assert sorted(map(bytes, taken)) == sorted(map(bytes, source))


@torch.no_grad()
def test_the_published_model_gives_a_posterior_a_hop():
    net = build_network(small_paper()).eval()
    out = net.whole(torch.randn(2, 160 * 30))
    assert out.pitch_logits.shape == (2, 1, 30, 80) and out.voicing_logits.shape == (2, 30, 1)
