"""Where sound comes from: a microphone, files, a pipe, the program's own demo."""

from rt_melody.realtime.sources.backed import BackedMicrophone, Backing
from rt_melody.realtime.sources.base import AudioSource
from rt_melody.realtime.sources.demo import DemoSource
from rt_melody.realtime.sources.devices import AudioInput, describe_devices, list_audio_inputs
from rt_melody.realtime.sources.file import FileSource
from rt_melody.realtime.sources.microphone import DeviceLost, MicrophoneSource
from rt_melody.realtime.sources.pipe import PipeSource
from rt_melody.realtime.sources.referenced import ReferencedMicrophone
from rt_melody.realtime.sources.sounding import SoundingMicrophone
from rt_melody.realtime.sources.two_inputs import TwoInputMicrophone

__all__ = [
    "AudioInput",
    "AudioSource",
    "BackedMicrophone",
    "Backing",
    "DemoSource",
    "DeviceLost",
    "FileSource",
    "MicrophoneSource",
    "PipeSource",
    "ReferencedMicrophone",
    "SoundingMicrophone",
    "TwoInputMicrophone",
    "describe_devices",
    "list_audio_inputs",
]
