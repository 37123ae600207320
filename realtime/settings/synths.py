"""What known synthesisers do with MIDI, as measured on them: one table, for ``--synth``, its listing and docs/synths.md.

Conventions
-----------
* Each line is of one version's factory patch, played without a screen and recorded (benchmarks/synths.py); what was set by
  hand in its window is not in it. A bend range that is given beside the preset wins: the player knows what they set.
* ``python -m rt_melody.realtime.settings.synths > docs/synths.md`` writes the page.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from rt_melody.realtime.errors import SettingsError

WIDE = 12  # semitones of ``bend`` mode, where the synthesiser takes what is announced
MPE_WIDE = 48


@dataclass(frozen=True, slots=True)
class Synth:
    """One synthesiser. ``bend``: semitones of a full bend before anything is announced, None where it does not bend."""

    title: str
    version: str
    bend: float | None
    announced: int  # most semitones of a range that were tried and taken from RPN 0; 0: it takes none
    channels: str  # on which it sounds, from 1
    own_bends: bool  # whether each channel has a bend of its own, which MPE needs
    loudness: str  # the message of --loudness that it follows while a note sounds, off where there is none
    follows: str  # the same in full
    stops: str  # controllers that silence it
    recentres: str  # whether "reset all controllers" puts the bend back
    voices: str = "poly"
    note: str = ""

    @property
    def modes(self) -> tuple[str, ...]:
        able = ("mono", "legato")
        if self.bend is not None:
            able += ("bend", "mpe") if self.own_bends else ("bend",)
        return able

    def bend_range(self, mode: str) -> float:
        """The range to be announced and bent by, in semitones."""
        wide = {"bend": WIDE, "mpe": MPE_WIDE}.get(mode, 2)
        return min(wide, self.announced) if self.announced else self.bend or 2


SYNTHS = {
    "zynaddsubfx": Synth("ZynAddSubFX", "3.0.6", 2, 0, "1", False, "cc11", "CC 7, CC 11", "120, 123", "yes"),
    "yoshimi": Synth("Yoshimi", "2.2.3", 2, 0, "1", False, "cc11", "CC 7, CC 11, CC 2", "123", "yes"),
    "amsynth": Synth("amsynth", "1.13.2", 2, 96, "all", False, "off", "CC 7 below 64", "120, 123", "yes"),
    "synthv1": Synth("synthv1", "0.9.29", 2.4, 0, "all", False, "cc7", "CC 7", "123", "yes"),
    "padthv1": Synth("padthv1", "0.9.29", 2.4, 0, "all", False, "cc7", "CC 7", "123", "yes"),
    "setbfree": Synth("setBfree", "0.8.11", None, 0, "1, 2", False, "cc11", "CC 7, CC 11", "120, 123", "", note="does not bend: an organ"),
    "hexter": Synth("hexter", "1.1.1", 2, 0, "all", False, "cc7", "CC 7; pressure and CC 2 make it quieter", "120, 123", "yes"),
    "fluidsynth": Synth(
        "FluidSynth", "2.3.1", 2, 48, "all", True, "cc11", "CC 7, CC 11; pressure: vibrato", "120, 123", "yes",
        note="understands no MPE configuration, but each channel's own range",
    ),
    "mda-epiano": Synth(
        "mda ePiano", "1.2.10", None, 0, "all", False, "off", "nothing (CC 7: the next note)", "123", "", note="does not bend",
    ),
    "mda-jx10": Synth(
        "mda JX10", "1.2.10", 2, 0, "all", False, "off", "CC 74, CC 2", "123", "no",
        note="sounds 1.47 semitones sharp at 48 kHz until a program is chosen",
    ),
    "mda-dx10": Synth(
        "mda DX10", "1.2.10", None, 0, "all", False, "off", "nothing (CC 7: the next note)", "123", "",
        note="takes the bend at the note-on alone; sounds 1.47 semitones sharp at 48 kHz until a program is chosen",
    ),
    "calf": Synth("Calf Monosynth", "0.90.3", 2, 0, "all", False, "off", "nothing", "120, 123", "no", "mono"),
    "timidity": Synth(
        "TiMidity++", "2.14.0", 2, 24, "all", True, "cc11", "CC 7, CC 11", "120, 123", "not a sounding note",
        note="deaf to the next announcement after a data entry under RPN null",
    ),
    "csound": Synth(
        "Csound, cpsmidib 2", "6.18.1", 2, 0, "all", True, "off", "what the instrument reads", "123", "yes",
        note="the range stands in the instrument",
    ),
}

HEAD = (
    "name", "synthesiser", "bends", "takes RPN 0", "channels", "modes", "follows while sounding", "silenced by CC",
    "CC 121 centres the bend", "source",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Preset:
    """What a synthesiser wants to be told: arguments of ``MidiSettings``."""

    bend_range_semitones: float
    loudness: str
    brightness: str = "off"


def find_synth(name: str) -> Synth:
    """The table's line. Raises ``SettingsError`` for a name that is not in it."""
    key = "".join(name.lower().split())
    if key not in SYNTHS:
        near = get_close_matches(key, SYNTHS, n=1)
        way_out = f"did you mean {near[0]}?" if near else f"choose from {', '.join(SYNTHS)}; or leave it out, what is usual suits most"
        raise SettingsError(f"synthesiser {name!r} is not in the table; {way_out}")
    return SYNTHS[key]


def preset(name: str, mode: str = "mono", bend_range_semitones: float | None = None, loudness: str | None = None) -> Preset:
    """What suits the synthesiser in this mode; a range or loudness that is given wins.

    Raises ``SettingsError`` for a name that is not in the table, and for a mode that the synthesiser cannot do.
    """
    synth = find_synth(name)
    _check_mode(synth, mode)
    range_ = synth.bend_range(mode) if bend_range_semitones is None else bend_range_semitones
    return Preset(range_, synth.loudness if loudness is None else loudness)


def _check_mode(synth: Synth, mode: str) -> None:
    if mode in synth.modes:
        return
    why = "does not bend" if synth.bend is None else f"has one bend for all channels and sounds on {_channels(synth)}"
    raise SettingsError(f"--mode {mode} is not for {synth.title}, which {why}; use {' or '.join(synth.modes)}")


def _channels(synth: Synth) -> str:
    return "all of them" if synth.channels == "all" else f"channel {synth.channels} alone"


def _row(name: str, synth: Synth) -> tuple[str, ...]:
    bends = "no" if synth.bend is None else f"{synth.bend:g} semitones"
    takes = f"up to {synth.announced}" if synth.announced else "no" if synth.bend is not None else ""
    channels = synth.channels + (", own bends" if synth.own_bends else "")
    source = f"measured, {synth.version} of Debian 12"
    return name, synth.title, bends, takes, channels, ", ".join(synth.modes), synth.follows, synth.stops, synth.recentres, source


def list_synths() -> str:
    """The table as text, a synthesiser a paragraph."""
    parts: list[str] = []
    for name, synth in SYNTHS.items():
        values = dict(zip(HEAD, _row(name, synth), strict=True))
        told = [f"  {what}: {value}" for what, value in list(values.items())[2:] if value]
        parts.append("\n".join([f"{name}  ({synth.title})", *told, *([f"  {synth.note}"] if synth.note else [])]))
    return "\n\n".join(parts) + "\n"


def page() -> str:
    """docs/synths.md."""
    rows = [HEAD, ["---"] * len(HEAD), *(_row(name, synth) for name, synth in SYNTHS.items())]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    notes = "\n".join(f"* {synth.title}: {synth.note}." for synth in SYNTHS.values() if synth.note)
    return PAGE.format(table=table, notes=notes)


PAGE = """# Synthesisers

`rt-melody --synth NAME` sets what the synthesiser of that name wants to be told: the bend range, and the message that
carries loudness. A mode that it cannot do is refused. What is given beside it, such as `--bend-range 24` after you have set
that in its window, wins. `rt-melody --synth list` shows this table.

Without `--synth`, what is usual suits all of them: a bend range of 2 semitones, announced. Of those that ignore it, what the
voice bends by (less than a semitone from its note) is in tune wherever a full bend is 2 semitones.

{table}

{notes}

Each line was measured: factory patch (of calf, synthv1, padthv1 and mda-jx10 one oscillator and an open filter), no screen, a melody of known pitch sent, the sound recorded and its pitch tracked
(`python -m rt_melody.benchmarks.synths`; `benchmarks/results/synths.md` has the figures). "Takes RPN 0": the widest bend
range that was announced and taken. "Own bends": each channel bends by itself, so that `--mode mpe` works, with or without
the synthesiser knowing of MPE.

`rt-melody --midi-test [PORT]` plays a scale, full bends and each controller, and says what you should hear, line by line: with
it you can find out about a synthesiser that is not in the table.
"""


if __name__ == "__main__":
    print(page(), end="")
