"""Which input is meant, and what is said where none is."""

from __future__ import annotations

import builtins
import sys

import pytest
from fake_audio import FakeAudio, PortAudioError

from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.sources.devices import describe_devices, find_input, list_audio_inputs, load_backend

STUDIO = FakeAudio(
    [("Speakers", 0, 0, 48000.0), ("USB Mic", 0, 1, 44100.0), ("USB Mic 2", 0, 2, 48000.0), ("singer", 1, 8, 96000.0)],
    default=2,
    host_apis=("ALSA", "JACK"),
)
WINDOWS = FakeAudio(
    [("Microphone (A very long name of a", 0, 2, 44100.0), ("Microphone (A very long name of a device)", 1, 2, 48000.0)],
    default=0,
    host_apis=("MME", "Windows WASAPI"),
    host_defaults=[0, 1],
)


def failing_import(monkeypatch, error: Exception) -> None:
    """``import sounddevice`` raises ``error`` from now on."""
    original = builtins.__import__

    def fake_import(name, *rest, **kwargs):
        if name == "sounddevice":
            raise error
        return original(name, *rest, **kwargs)

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(builtins, "__import__", fake_import)


def test_only_inputs_are_listed_under_their_own_numbers():
    assert [(one.index, one.name, one.is_default) for one in list_audio_inputs(STUDIO)] == [
        (1, "USB Mic", False),
        (2, "USB Mic 2", True),
        (3, "singer", False),
    ]


@pytest.mark.parametrize(
    "device, index",
    [(None, 2), (1, 1), ("3", 3), (" 3 ", 3), ("SING", 3), ("mic 2", 2), ("usb mic", 1), ("USB Mic 2, ALSA", 2), ("jack", 3)],
)
def test_a_device_is_found_by_number_part_of_a_name_or_default(device, index):
    assert find_input(device, STUDIO).index == index


@pytest.mark.parametrize(
    "device, sentence",
    [
        ("trumpet", "no audio input has 'trumpet' in its name"),
        ("", "no audio input has '' in its name"),
        ("usb", "'usb' fits 2 audio inputs"),
        (0, "device 0 is not an audio input"),
        ("99", "device 99 is not an audio input"),
        (-1, "device -1 is not an audio input"),
    ],
)
def test_a_device_that_cannot_be_meant_is_refused_with_the_list(device, sentence):
    with pytest.raises(DeviceError) as error:
        find_input(device, STUDIO)
    assert str(error.value).startswith(sentence)
    assert "  1  USB Mic, ALSA (1 channel, 44100 Hz)" in str(error.value)
    assert "Speakers" not in str(error.value)


def test_the_quick_entry_of_a_device_listed_twice_is_taken():
    assert find_input("very long", WINDOWS).index == 1
    assert find_input(None, WINDOWS).index == 1
    assert find_input("mme", WINDOWS).index == 0


def test_no_input_at_all_and_no_default_are_told():
    with pytest.raises(DeviceError, match="no audio input was found; plug in a microphone"):
        find_input(None, FakeAudio([("Speakers", 0, 0, 48000.0)]))
    with pytest.raises(DeviceError, match="names no default audio input; choose one with --device:\n +1  USB"):
        find_input(None, FakeAudio(STUDIO.devices, default=-1, host_apis=("ALSA", "JACK")))


def test_the_list_is_text_with_the_default_starred():
    assert describe_devices(STUDIO).splitlines() == [
        "Audio inputs (* is the default):",
        "    1  USB Mic, ALSA (1 channel, 44100 Hz)",
        "*   2  USB Mic 2, ALSA (2 channels, 48000 Hz)",
        "    3  singer, JACK (8 channels, 96000 Hz)",
    ]
    assert describe_devices(FakeAudio([])) == "Audio inputs: none found"


def test_a_list_that_cannot_be_had_is_text_too(monkeypatch):
    broken = FakeAudio([])
    monkeypatch.setattr(broken, "query_devices", lambda: (_ for _ in ()).throw(PortAudioError("no host")))
    assert describe_devices(broken).startswith("Audio inputs: the audio devices cannot be listed (no host)")


@pytest.mark.parametrize(
    "platform, way_out",
    [("linux", "apt-get install libportaudio2"), ("darwin", "--force-reinstall sounddevice"), ("freebsd14", "package manager")],
)
def test_a_missing_portaudio_names_the_package(monkeypatch, platform, way_out):
    failing_import(monkeypatch, OSError("PortAudio library not found"))
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(DeviceError, match="PortAudio library not found") as error:
        load_backend()
    assert way_out in str(error.value)
    assert way_out in describe_devices()


def test_a_broken_alsa_configuration_is_named(monkeypatch):
    failing_import(monkeypatch, PortAudioError("Error initializing PortAudio: Unanticipated host error", -9999))
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(DeviceError, match="-9999.*~/.asoundrc"):
        load_backend()


def test_a_missing_python_package_is_named(monkeypatch):
    failing_import(monkeypatch, ModuleNotFoundError("No module named 'sounddevice'", name="sounddevice"))
    with pytest.raises(DeviceError, match="pip install sounddevice"):
        load_backend()
