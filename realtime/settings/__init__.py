"""Every setting, declared once: type, default, limits, meaning, and how the command line spells it.

``root.Settings`` holds them by groups, each of which is a class in a file of its own. See CONTRIBUTING for a new one.
"""

from rt_melody.realtime.settings.control import ControlSettings
from rt_melody.realtime.settings.files import change_setting, dump_settings, make_settings, read_yaml
from rt_melody.realtime.settings.inputs import DecoderSettings, SourceSettings, TrackingSettings
from rt_melody.realtime.settings.midi import MidiSettings
from rt_melody.realtime.settings.notes import NoteSettings
from rt_melody.realtime.settings.outputs import VIRTUAL, OutputSettings, ReportSettings
from rt_melody.realtime.settings.performance import PerformanceSettings
from rt_melody.realtime.settings.root import FLAT, Settings

__all__ = [
    "FLAT", "VIRTUAL", "ControlSettings", "DecoderSettings", "MidiSettings", "NoteSettings", "OutputSettings", "PerformanceSettings",
    "ReportSettings", "Settings", "SourceSettings", "TrackingSettings", "change_setting", "dump_settings", "make_settings", "read_yaml",
]  # fmt: skip
