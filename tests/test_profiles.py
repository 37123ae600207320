"""Profiles: presets that fit, the user's own before them, and what wins over what."""

from __future__ import annotations

import os

import pytest
import yaml

from rt_melody.realtime.cli import main
from rt_melody.realtime.errors import OutputError, SettingsError
from rt_melody.realtime.settings import make_settings, profiles
from rt_melody.realtime.settings.profiles import PRESETS, find_profile, profile_values, told_profiles, write_profile

NAMES = ("bass", "flute-like", "karaoke", "lead", "mpe", "strings")
pytestmark = pytest.mark.usefixtures("in_folder")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The user's folder of profiles, empty."""
    monkeypatch.setattr(profiles, "profile_folder", lambda: tmp_path / "profiles")
    return tmp_path / "profiles"


def shown(capsys, *arguments: str) -> dict:
    assert main([*arguments, "--print-config"]) == 0
    return yaml.safe_load(capsys.readouterr().out)


def test_the_presets_are_those_that_are_promised():
    assert tuple(sorted(path.stem for path in PRESETS.glob("*.yaml"))) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_fits_changes_something_and_says_why(name):
    values = profile_values([name])
    assert make_settings(base=values) != make_settings()
    text = (PRESETS / f"{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith("# ") and len(text.splitlines()[0]) > 20


def test_options_win_over_the_file_and_that_over_profiles_of_which_the_last_wins(folder, capsys):
    write_profile("mine", "performance: {bend_range: 7, octave: 2, velocity_range: [-50, -10]}\n")
    with open("a.yaml", "w", encoding="utf-8") as file:
        file.write("performance: {octave: 1}\n")
    performance = shown(capsys, "--profile", "strings", "mine", "--config", "a.yaml", "--mode", "mono")["performance"]
    assert (performance["mode"], performance["octave"], performance["bend_range"]) == ("mono", 1, 7)
    assert performance["velocity_range"] == [-50, -10] and performance["velocity_curve"] == "soft"
    assert shown(capsys, "--profile", "mine", "--profile", "strings")["performance"]["bend_range"] == 12


def test_the_users_own_wins_over_a_preset_of_that_name(folder):
    write_profile("bass", "performance: {octave: -2}\n")
    assert profile_values(["bass"]) == {"performance": {"octave": -2}} and find_profile("bass").parent == folder


def test_the_list_has_all_with_their_first_line(folder, capsys):
    write_profile("mine", "# of an alto\nperformance: {octave: 1}\n")
    assert main(["--profile", "list"]) == 0
    told = capsys.readouterr().out
    assert "  mine           of an alto\n" in told and all(f"  {name}" in told for name in NAMES) and str(folder) in told


BROKEN = {
    "no-yaml.yaml": "performance: [", "no-mapping.yaml": "- 1\n", "no-setting.yaml": "performance: {octav: 1}\n",
    "no-value.yaml": "performance: {octave: high}\n", "a name.yaml": "performance: {octave: 1}\n", "list.yaml": "",
    "a\nb.yaml": "", "much.yaml": "#" * 40_000, "bytes.yaml": "\0\x9f", "bass.yaml": "performance: {octave: 99}\n",
}  # fmt: skip


def test_what_cannot_be_chosen_is_offered_nowhere_and_the_list_says_why(folder, capsys):
    folder.mkdir()
    for name, text in BROKEN.items():
        (folder / name).write_text(text, encoding="latin-1")
    (folder / "folder.yaml").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.yaml")
    write_profile("mine", "# of an alto\nperformance: {octave: 1}\n")
    assert main(["--profile", "list"]) == 0
    usable, _, faults = capsys.readouterr().out.partition("These cannot be used:\n")
    offered = [line.split()[0] for line in usable.splitlines() if line.startswith("  ")]
    assert offered == [told[0] for told in told_profiles()] == sorted([*NAMES, "mine"])[1:], "bass is the user's own now, which is damaged"
    for name in offered:
        profile_values([name])
    reasons = [*BROKEN, "folder.yaml", *(["pipe.yaml"] if hasattr(os, "mkfifo") else [])]
    assert len(faults.splitlines()) == len(reasons)
    assert all(f"  {name.encode('unicode_escape').decode()}: " in faults for name in reasons)
    assert "bass.yaml: performance.octave: 99" in faults and "it must be letters, digits" in faults
    with pytest.raises(SettingsError, match="choose from flute-like"):
        profile_values(["xyzzy"])


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="no endless file there")
def test_a_settings_file_without_an_end_is_refused():
    with pytest.raises(SettingsError, match="/dev/zero cannot be used: it has more than 32768 bytes"):
        make_settings(path="/dev/zero")


@pytest.mark.parametrize(
    "name, sentence",
    [
        ("strngs", "there is no profile strngs; did you mean strings?"),
        ("xyzzy", "there is no profile xyzzy; choose from bass, flute-like"),
        ("../a", "profile '../a' cannot be used: it must be letters"),
        ("", "profile '' cannot be used"),
    ],
)
def test_a_name_that_is_none_is_told(name, sentence):
    with pytest.raises(SettingsError) as told:
        profile_values([name])
    assert str(told.value).startswith(sentence)


def test_what_is_wrong_in_a_profile_is_told_with_its_file(folder, capsys):
    write_profile("mine", "performance: {octave: high}\n")
    assert main(["--profile", "mine", "--print-config"]) == 2
    assert f"performance.octave: 'high' in {folder / 'mine.yaml'} cannot be used" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_told(folder):
    folder.write_text("a file stands there")
    with pytest.raises(OutputError, match="the profile cannot be written"):
        write_profile("mine", "performance: {octave: 1}\n")


def test_a_folder_of_profiles_that_cannot_be_looked_into_holds_none(monkeypatch, tmp_path):
    """Such as one in a home that is shut: the presets are there all the same."""
    monkeypatch.setattr(profiles, "profile_folder", lambda: tmp_path / (300 * "a"))
    assert set(profiles.profile_paths()) == {path.stem for path in profiles.PRESETS.glob("*.yaml")}
