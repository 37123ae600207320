"""``--listen`` with a stand-in for PortAudio: which notes are heard, when, and what stands in the way."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from fake_audio import FakeAudio, FakeStream, PortAudioError
from numba.core.event import start_event

from rt_melody.realtime import instrument
from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.melody import MelodyTracker
from rt_melody.realtime.program import Program
from rt_melody.realtime.settings import make_settings
from rt_melody.realtime.signals import StopSignals
from rt_melody.realtime.sinks import aloud, listen
from rt_melody.realtime.sinks.aloud import ListenSink
from rt_melody.realtime.sinks.said_aloud import BREATH
from rt_melody.realtime.sinks.table import SinkRequest
from rt_melody.realtime.sources import AudioSource, SoundingMicrophone
from rt_melody.realtime.types import Brightness, Loudness, NoteOff, NoteOn, PitchBend

RATE = 48000
BLOCK = 256


class Speaker(FakeAudio):
    """One output, whose stream is played by the test."""

    def __init__(self, failure: Exception | None = None, outputs: int = 2) -> None:
        super().__init__([("mic", 0, 1, RATE)], failure=failure)
        self.default = SimpleNamespace(device=(0, 1))
        self.outputs = outputs

    def query_devices(self):
        spoken = [("mic", 1, 0), ("speaker", 0, self.outputs)]
        return [
            {"name": name, "hostapi": 0, "max_input_channels": i, "max_output_channels": o, "default_samplerate": float(RATE)}
            for name, i, o in spoken
        ]

    def OutputStream(self, **settings):
        if self.failure:
            raise self.failure
        self.stream = FakeStream(self, **settings)
        return self.stream


def hear(audio: Speaker, seconds: float, status=None) -> np.ndarray:
    """What the speaker gives [shape=(n, n_channels)]."""
    blocks = []
    for _ in range(round(seconds * RATE / BLOCK)):
        out = np.full((BLOCK, audio.stream.settings["channels"]), np.nan, np.float32)
        audio.stream.settings["callback"](out, BLOCK, None, status)
        blocks.append(out)
    return np.concatenate(blocks)


@pytest.fixture
def speaker() -> Speaker:
    return Speaker()


@pytest.fixture
def sink(speaker, monkeypatch) -> ListenSink:
    monkeypatch.setattr(instrument, "RING_OUT_S", 0.0)
    sink = ListenSink("flute", backend=speaker)
    sink.start(0.0)
    return sink


def on(note: int, pitch: float | None = None, level_db: float | None = -20.0, legato: bool = False) -> NoteOn:
    return NoteOn(0.0, 0.0, note, 100, note if pitch is None else pitch, level_db, 500.0, legato)


def loudness_db(sound: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(sound[:, 0].astype(float) ** 2) + 1e-12))


def pitch_of(sound: np.ndarray) -> float:
    """Fractional MIDI note of the strongest partial, which is the flute's first."""
    mono = sound[:, 0]
    spectrum = np.abs(np.fft.rfft(mono * np.hanning(len(mono)), 8 * len(mono)))
    return float(69 + 12 * np.log2(np.argmax(spectrum) * RATE / (8 * len(mono)) / 440.0))


def test_nothing_sounds_before_a_note_and_soon_nothing_after_it(sink, speaker):
    assert not hear(speaker, 0.1).any()
    sink.event(on(60))
    assert np.abs(hear(speaker, BLOCK / RATE)).max() > 1e-3, "in the block after the note"
    assert loudness_db(hear(speaker, 0.2)) > -40
    sink.event(NoteOff(0.3, 0.3, 60))
    hear(speaker, 1.5)
    assert not hear(speaker, 0.05).any()


def test_both_channels_have_it(sink, speaker):
    sink.event(on(60))
    sound = hear(speaker, 0.1)
    assert sound.shape[1] == 2 and np.array_equal(sound[:, 0], sound[:, 1]) and np.isfinite(sound).all()


def test_pitch_is_that_of_the_note_then_of_its_bends(sink, speaker):
    sink.event(on(60, 60.3))
    hear(speaker, 0.1)
    assert pitch_of(hear(speaker, 0.5)) == pytest.approx(60.3, abs=0.02)
    sink.event(PitchBend(0.1, 0.1, 60, 5.5))
    hear(speaker, 0.1)
    assert pitch_of(hear(speaker, 0.5)) == pytest.approx(65.5, abs=0.02)


def test_the_tuning_is_heard(speaker):
    sink = ListenSink("flute", a4_hz=432.0, backend=speaker)
    sink.start(0.0)
    sink.event(on(69))
    hear(speaker, 0.1)
    assert pitch_of(hear(speaker, 0.5)) == pytest.approx(69 + 12 * np.log2(432 / 440), abs=0.02)


def test_it_swells_and_fades_with_the_voice(sink, speaker):
    sink.event(on(60, level_db=-30.0))
    hear(speaker, 0.1)
    soft = loudness_db(hear(speaker, 0.2))
    sink.event(Loudness(0.3, 0.3, 60, -10.0))
    hear(speaker, 0.1)
    assert loudness_db(hear(speaker, 0.2)) - soft == pytest.approx(20 * aloud.DB_PER_DB, abs=0.5)
    before = loudness_db(hear(speaker, 0.2))
    sink.event(Brightness(0.5, 0.5, 60, 2000.0))
    hear(speaker, 0.1)
    assert loudness_db(hear(speaker, 0.2)) > before, "stronger harmonics"


def test_a_slurred_note_goes_on_and_its_predecessors_end_does_not_end_it(sink, speaker):
    sink.event(on(60))
    hear(speaker, 0.2)
    sink.event(on(64, legato=True))
    sink.event(NoteOff(0.2, 0.2, 60))
    hear(speaker, 0.1)
    assert pitch_of(hear(speaker, 0.3)) == pytest.approx(64, abs=0.02)


def test_panic_and_close_end_what_sounds(sink, speaker):
    sink.event(on(60))
    hear(speaker, 0.2)
    sink.ask_panic()
    hear(speaker, 1.5)
    assert not hear(speaker, 0.05).any()
    sink.close()
    assert speaker.stream.closed


def test_close_lets_the_last_note_ring_out(speaker, monkeypatch):
    sink = ListenSink("flute", backend=speaker)
    sink.start(0.0)
    sink.event(on(60))
    hear(speaker, 0.1)
    monkeypatch.setattr(time, "sleep", lambda _: hear(speaker, 0.02))
    sink.close()
    assert not sink.instrument.sounds and speaker.stream.closed


def test_the_callback_makes_no_array(sink, speaker):
    import tracemalloc

    sink.event(on(60))
    out = np.zeros((BLOCK, 2), np.float32)
    callback = speaker.stream.settings["callback"]
    callback(out, BLOCK, None, None)
    tracemalloc.start()
    try:
        for _ in range(50):
            callback(out, BLOCK, None, None)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(500):
            callback(out, BLOCK, None, None)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 200 and peak - before < BLOCK * 4, "views alone, which are gone again"


def test_what_the_device_lacked_and_its_loss_are_told(speaker):
    told = []
    sink = ListenSink("keys", backend=speaker, tell=told.append)
    sink.start(0.0)
    hear(speaker, 3 * BLOCK / RATE, status="underflow")
    assert sink.underflows == 0, "of silence nothing is missed"
    sink.event(on(60))
    hear(speaker, BLOCK / RATE)
    hear(speaker, BLOCK / RATE, status="underflow")
    speaker.stream.settings["finished_callback"]()
    sink.close()
    assert told[0].startswith("the audio output 'speaker, ALSA' was lost")
    assert told[1].startswith("the audio output had to wait for sound 1 times")


# --- when it is there


def asked(**options) -> SinkRequest:
    return SinkRequest(make_settings(options), said.append, said.append)


said: list[str] = []


@pytest.fixture
def heard(monkeypatch, speaker):
    """What is made from settings, with that speaker."""
    said.clear()
    for variable in ("CI", "RT_MELODY_SILENT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(aloud, "load_backend", lambda: speaker)
    return listen.from_settings


def test_the_demo_sounds_and_says_how_to_silence_it(heard):
    (sink,) = heard(asked(input="demo", csv="a.csv"))
    assert said == ["you hear it through speaker, ALSA; --listen off makes it silent"] and sink.plays_aloud


@pytest.mark.parametrize("options", [{"listen": "off"}, {"jsonl": True}, {"quiet": True}])
def test_the_demo_is_silent_where_it_is_told_or_nobody_is_there(heard, options):
    assert heard(asked(input="demo", **options)) == [] and said == []


@pytest.mark.parametrize("variable", ["CI", "RT_MELODY_SILENT"])
def test_the_demo_is_silent_where_machines_run_it(heard, monkeypatch, variable):
    monkeypatch.setenv(variable, "true")
    assert heard(asked(input="demo")) == []


def test_other_inputs_are_silent_unless_asked_and_beside_a_microphone_it_waits_for_the_stream_that_may_play_it(heard, speaker):
    assert heard(asked(input="mic")) == [] == heard(asked(input="a.wav"))
    (sink,) = heard(asked(input="mic", listen="strings"))
    assert said == [] and sink.output is None and speaker.stream is None
    assert sink.play_alone().name == "speaker" == sink.play_alone().name and not speaker.stream.closed
    sink.let_go()
    assert sink.output is None and speaker.stream.closed
    assert len(heard(asked(input="a.wav", listen="strings"))) == 1
    assert said == ["you hear the melody through speaker, ALSA"]


def test_a_sink_that_is_left_alone_finds_an_output_of_its_own_or_says_that_it_is_silent(speaker):
    for failure, words in ((None, "through speaker, ALSA: wear headphones"), (PortAudioError("busy", -9985), "nothing more is heard")):
        told, speaker.failure = [], failure
        sink = ListenSink("keys", backend=speaker, tell=told.append, alone=False)
        sink.left_alone()
        until_s = time.monotonic() + 10.0
        while not told and time.monotonic() < until_s:
            time.sleep(0.01)
        assert words in told[0] and len(told) == 1
        sink.close()
        assert len(told) == 1


class Slow(Speaker):
    """Each of its outputs opens once ``open`` is set; ``asked`` is set by then."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.open, self.streams = threading.Event(), threading.Event(), []

    def OutputStream(self, **settings):
        self.asked.set()
        assert self.open.wait(10.0)
        self.streams.append(super().OutputStream(**settings))
        return self.streams[-1]


@pytest.mark.parametrize("then", ["close", "let_go", "play_alone"])
def test_an_output_that_a_sink_left_alone_opens_while_it_is_closed_or_played_again_stays_with_nobody(then, monkeypatch):
    told, slow = [], Slow()
    monkeypatch.setattr(aloud, "REOPEN_S", 0.0 if then == "close" else 10.0)
    sink = ListenSink("keys", backend=slow, tell=told.append, alone=False)
    before = set(threading.enumerate())
    sink.left_alone()
    assert slow.asked.wait(10.0)
    (opening,) = [thread for thread in threading.enumerate() if thread not in before and thread.name == "listen"]
    opens = threading.Timer(0.05, slow.open.set)
    opens.start()
    getattr(sink, then)()
    for thread in (opens, opening):
        thread.join()
    assert [stream.closed for stream in slow.streams] == ([True, False] if then == "play_alone" else [True])
    assert told == [] and (sink.output is not None) == (then == "play_alone")
    sink.close()
    assert all(stream.closed for stream in slow.streams)
    sink.left_alone()  # after its end
    for thread in set(threading.enumerate()) - before:
        thread.join()
    assert told == [] and all(stream.closed for stream in slow.streams)


@pytest.mark.parametrize("speaker", [Speaker(PortAudioError("busy", -9985)), Speaker(outputs=0)])
def test_an_output_that_does_not_open_stops_who_asked_for_it_and_no_demo(heard, speaker):
    assert heard(asked(input="demo")) == [] and len(said) == 1
    assert said[0] == listen.NO_LOUDSPEAKER or said[0].startswith("nothing is heard of the demo, which goes on all the same: the audio out")
    assert (said[0] == listen.NO_LOUDSPEAKER) == (not speaker.query_devices()[1]["max_output_channels"])
    with pytest.raises(DeviceError, match=r"cannot be opened \(.*; choose another --listen-device|no audio output was found"):
        heard(asked(input="demo", listen="keys"))


def test_a_demo_does_not_wait_for_an_output_that_hangs(heard, monkeypatch):
    monkeypatch.setattr(listen, "ANSWER_S", 0.05)
    monkeypatch.setattr(aloud, "load_backend", lambda: time.sleep(1.0))
    assert heard(asked(input="demo")) == [] and said[0].endswith("goes on all the same: the audio output does not answer")


def test_a_device_is_named_by_a_part_or_refused_with_the_choice(heard):
    assert len(heard(asked(input="demo", listen="keys", listen_device="SPEAK"))) == 1
    with pytest.raises(DeviceError, match="no audio output has 'tuba' in its name; choose one of:\n.*1  speaker"):
        heard(asked(input="demo", listen="keys", listen_device="tuba"))


def test_a_demo_that_is_chosen_meanwhile_sounds_and_falls_silent_with_another_input(heard):
    program = Program(make_settings({"input": ["mic"], "csv": "a.csv"}), StopSignals())
    program._make_live()
    others = list(program.live)
    assert program._instrument is None and not program.aloud
    for name in ("demo", "demo", "mic", "demo"):
        program.settings = program.settings.changed(source=program.settings.source.changed(input=[name]))
        program._make_live()
        assert (program._instrument is not None) == program.aloud == (name == "demo")
        assert [sink for sink in program.live if sink is not program._instrument] == others
    program._instrument.close()


def test_what_is_compiled_for_a_restart_is_told_as_at_the_first_start(monkeypatch, capsys):
    """Such as what takes an instrument out, where one is chosen for the first time in the panel: once for each tracker."""

    def compile_two(tracker):
        for name in ("one", "two"):
            start_event("numba:compile", {"kernel": name})

    monkeypatch.setattr(MelodyTracker, "warm_up", compile_two)
    program = Program(make_settings({"input": ["mic"], "csv": "a.csv"}), StopSignals())
    for beside, times in ((None, 1), ((True, 30.0), 1), ((True, 30.0), 0)):
        program._beside = beside
        program._prepare_tracker(16000)
        assert capsys.readouterr().err.count("preparing for this machine") == times


def test_another_sound_or_none_leaves_what_else_goes_out_as_it_is(heard, speaker):
    program = Program(make_settings({"input": ["mic"], "listen": "flute", "osc": ["127.0.0.1:9"]}), StopSignals())
    program._make_live()
    (osc,) = (sink for sink in program.live if sink.name == "OSC output")
    before = program._instrument
    for listen_by in ({"listen": "keys"}, {"listen_device": "speaker"}, {"listen": "off"}, {"listen": "strings"}):
        program.settings = program.settings.changed(output=program.settings.output.changed(**listen_by))
        program._make_live()
        assert osc in program.live and not osc.closed, "a port of its own would be closed for good"
        assert program._instrument is not before and (before is None or before.closed)
        before = program._instrument
        assert (before is not None) == program.aloud == (listen_by != {"listen": "off"})
        program._make_live()
        assert program._instrument is before, "what has not changed goes on"
    program.settings = program.settings.changed(output=program.settings.output.changed(osc=["127.0.0.1:11"]))
    program._make_live()
    assert osc.closed and program._instrument is before and not before.closed
    for sink in program.live:
        sink.close()


def test_what_is_changed_by_a_restart_is_told_in_words(monkeypatch):
    program, told = Program(make_settings({"input": ["mic"], "csv": "a.csv", "channel": 2}), StopSignals()), []
    monkeypatch.setattr(program, "say", told.append)
    for name, value in {"input": ["a.wav"], "channel": None, "latency_ms": 20.0, "light": True, "device": 3}.items():
        program.desk.set(name, value)
        program._take_orders("mic")
    assert told == [f"{said}: starting again" for said in ("input a.wav", "channel as usual", "latency_ms 20", "light on", "device 3")]


def test_an_instrument_whose_successor_cannot_be_had_plays_on(heard, speaker):
    program = Program(make_settings({"input": ["a.wav"], "listen": "flute"}), StopSignals())
    program._make_live()
    before, asked_for = program._instrument, program.settings
    program.settings = program.settings.changed(output=program.settings.output.changed(listen="keys"))
    speaker.failure = PortAudioError("busy", -9985)
    with pytest.raises(DeviceError):
        program._make_live()
    program.settings, speaker.failure = asked_for, None
    program._make_live()
    assert program._instrument is before and not before.closed and before.play_alone().name == "speaker"
    before.close()


def test_how_the_instrument_is_heard_is_told_each_time_that_it_begins(heard, monkeypatch):
    told = []
    program = Program(make_settings({"input": ["mic"], "listen": "flute"}), StopSignals())
    monkeypatch.setattr(program, "say", told.append)
    program._make_live()
    source = AudioSource()
    for _ in range(2):
        program._have_heard("mic", source)
        program._instrument.let_go()
    assert told == ["you hear the melody through speaker, ALSA: wear headphones, or the microphone hears it too"] * 2


@pytest.mark.parametrize("together", [True, False])
def test_the_breath_is_announced_where_listening_begins_and_only_where_there_is_one(together, heard, monkeypatch):
    told = []
    program = Program(make_settings({"input": ["mic"], "listen": "flute"}), StopSignals())
    monkeypatch.setattr(program, "say", told.append)
    program._make_live()
    audio = FakeAudio([("mic", 0, 1, 48000.0), ("speaker", 0, 0, 48000.0, 2)], together=together)
    with SoundingMicrophone(program._instrument, backend=audio) as source:
        program._tell_input("mic", source)
    assert told == [f"listening to mic, ALSA; {BREATH + '; ' if together else ''}Ctrl-C ends"]


def test_what_is_not_to_be_heard_loads_no_kernel():
    code = "import sys, rt_melody.realtime.sinks.listen; assert not {'numba', 'sounddevice', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
