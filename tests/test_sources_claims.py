"""What a file or a stream says of itself is a claim: sizes, scales, channels, delays. Heard rightly or told, never lost."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import struct
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import soundfile

from rt_melody.realtime.console import visible
from rt_melody.realtime.errors import InputError
from rt_melody.realtime.shell import quoted
from rt_melody.realtime.sources import FileSource, PipeSource
from rt_melody.realtime.sources.conversion import conversion, free_name
from rt_melody.realtime.sources.demo import demo_phrase
from rt_melody.realtime.sources.file import LAYER_3_DELAY
from rt_melody.realtime.sources.headers import TAIL_BYTES
from rt_melody.realtime.sources.pcm import looks_like_floats

RATE = 48_000
pytestmark = pytest.mark.usefixtures("in_folder")
posix = pytest.mark.skipif(sys.platform == "win32", reason="named pipes in folders")


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    return demo_phrase(RATE).samples[: 2 * RATE]


def heard(source) -> np.ndarray:
    """All that a source gives, once it is opened; it is closed afterwards."""
    blocks = [np.zeros(0, np.float32)]
    with source:
        while (block := source.read(0.1)) is not None:
            blocks.append(block.copy())
    return np.concatenate(blocks)


def written(voice, name, **kind) -> bytearray:
    soundfile.write(name, voice, RATE, **kind)
    return bytearray(open(name, "rb").read())


def put(name: str, data: bytes) -> str:
    open(name, "wb").write(data)
    return name


def lag(found: np.ndarray, wanted: np.ndarray) -> int:
    """Samples by which ``found`` comes late, by cross-correlation."""
    n = min(len(found), len(wanted))
    size = 1 << (2 * n).bit_length()
    product = np.fft.irfft(np.fft.rfft(found[:n], size) * np.conj(np.fft.rfft(wanted[:n], size)))
    at = int(np.argmax(product))
    return at if at < size // 2 else at - size


# ---- sizes -----------------------------------------------------------------------------------------


def died(voice, kind: str) -> bytes:
    """A recording whose header does not have the size of its sound, as a recorder leaves it that died."""
    name = {"RF64": "v.rf64", "AU": "v.au", "CAF": "v.caf"}.get(kind, "v.wav")
    data = written(voice, name, format=kind if kind in ("RF64", "AU", "CAF") else "WAV", subtype="FLOAT" if kind == "float" else "PCM_16")
    at = data.index(b"data") if kind != "AU" else 0
    if kind == "small":
        data[4:8], data[at + 4 : at + 8] = struct.pack("<I", 44_036), struct.pack("<I", 44_000)
    elif kind == "RF64":
        ds64 = data.index(b"ds64")
        data[ds64 + 8 : ds64 + 32] = bytes(24)
    elif kind == "AU":
        data[8:12] = bytes(4)
    elif kind == "CAF":
        data[at + 4 : at + 12] = b"\xff" * 8
    else:
        data[4:8] = data[at + 4 : at + 8] = bytes(4)
    return bytes(data)


@pytest.mark.parametrize("kind", ["zero", "float", "small", "RF64", "AU", "CAF"])
def test_a_recorder_that_died_before_it_wrote_the_sizes(kind, voice):
    source = FileSource(put("died", died(voice, kind)))
    sound = heard(source)
    np.testing.assert_allclose(sound[: len(voice)], voice, atol=2**-15)
    assert len(voice) <= len(sound) <= len(voice) + 2, "a CAF's sound may be padded"
    if kind == "CAF":
        assert source.remark is None, "a size of -1 is no fault there"
    else:
        assert "the header of died states 0." in source.remark and "and 2.0 s are there: all of it is read" in source.remark


@pytest.mark.parametrize(
    "tail",
    [b"LIST\x04\x00\x00\x00abcd", b"id3 \x04\x00\x00\x00abcd", b"TAG" + bytes(125), b"ID3\x04" + bytes(TAIL_BYTES + 99), bytes(TAIL_BYTES)],
    ids=["LIST", "id3", "ID3v1", "ID3v2", "padding"],
)
def test_what_follows_the_sound_of_a_sane_file_is_not_heard(tail, voice):
    data = written(voice, "v.wav")
    source = FileSource(put("tail.wav", data + tail))
    assert len(heard(source)) == len(voice) and source.remark is None


def test_an_empty_recording_with_a_chunk_behind_is_empty(voice):
    soundfile.write("none.wav", voice[:0], RATE)
    put("none.wav", open("none.wav", "rb").read() + b"LIST\x04\x00\x00\x00abcd")
    with pytest.raises(InputError, match="holds no samples"):
        FileSource("none.wav").open()


def test_a_wav_that_was_cut_off_says_how_much_is_missing(voice):
    data = written(voice, "v.wav")
    source = FileSource(put("cut.wav", data[: len(data) // 2]))
    assert len(heard(source)) == pytest.approx(len(voice) / 2, abs=50)
    assert "cut.wav is cut off: its header promises 1.00 s more than are there" in source.remark
    at = data.index(b"data")
    data[at + 4 : at + 8] = b"\xff" * 4
    source = FileSource(put("streamed.wav", data))
    assert len(heard(source)) == len(voice) and source.remark is None, "of a size nobody claimed nothing is missing"


def test_a_flac_of_no_stated_length_is_read_to_its_end(voice):
    data = written(voice, "v.flac")
    data[21] &= 0xF0  # STREAMINFO's last 36 bits before the checksum: the number of samples
    data[22:26] = bytes(4)
    source = FileSource(put("piped.flac", data))
    np.testing.assert_allclose(heard(source), voice, atol=2**-15)
    assert source.notice is None and source.duration_s == float("inf")


@pytest.mark.parametrize("size", [2**31, 2**62, 2**63 - 1, 2**64 - 1])
def test_a_chunk_that_reaches_beyond_any_file_is_no_reason_to_stumble(size, voice):
    data = written(voice[:400], "v.caf")
    places = [at for at in range(8, data.index(b"data"), 4) if any(data[at : at + 8])]  # but the padding
    assert 8 < len(places) < 100
    for at in places:
        strange = bytearray(data)
        strange[at : at + 8] = size.to_bytes(8, "big")
        try:
            heard(FileSource(put("strange.caf", strange)))
        except InputError as error:
            assert "strange.caf" in str(error)


# ---- scales ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [32768.0, 2.0**31, 100.0])
def test_floats_of_another_scale_are_brought_to_full_scale_and_told(scale, voice):
    soundfile.write("hot.wav", voice * scale, RATE, subtype="FLOAT")
    source = FileSource("hot.wav")
    sound = heard(source)
    factor = sound.std() / voice.std()
    np.testing.assert_allclose(sound, voice * factor, atol=1e-6)
    assert 0.5 < np.abs(sound).max() <= 1.0 and "hot.wav holds floats up to" in source.remark


def test_a_click_and_a_hot_mix_are_no_other_scale(voice):
    for hot in (voice * 5.0, np.concatenate([voice, [3e4]]).astype(np.float32)):
        soundfile.write("hot.wav", hot, RATE, subtype="FLOAT")
        source = FileSource("hot.wav")
        np.testing.assert_array_equal(heard(source), hot)
        assert source.remark is None


# ---- channels --------------------------------------------------------------------------------------


def test_channels_that_cancel_are_heard_one_alone_and_told(voice):
    soundfile.write("inv.wav", np.stack([voice, -voice], 1), RATE, subtype="FLOAT")
    source = FileSource("inv.wav")
    np.testing.assert_array_equal(np.abs(heard(source)), np.abs(voice))
    assert "inv.wav has channels that cancel each other in their mean, so channel 1 is heard alone; --channel N chooses" in source.remark


def test_one_channel_of_many_that_holds_the_sound_is_heard_at_its_level(voice):
    noise = 1e-4 * np.random.default_rng(0).standard_normal((len(voice), 8)).astype(np.float32)
    noise[:, 5] += voice
    soundfile.write("eight.wav", noise, RATE, subtype="FLOAT")
    source = FileSource("eight.wav")
    np.testing.assert_array_equal(heard(source), noise[:, 5])
    assert "eight.wav has 8 channels of which channel 6 alone holds sound" in source.remark


def test_a_voice_beside_its_band_stays_the_mean_of_both(voice):
    """Unrelated channels, equal ones, and one 20 dB below the other: all of them are a recording of its kind."""
    band = np.float32(0.1) * np.random.default_rng(1).standard_normal(len(voice)).astype(np.float32)
    for other in (band, voice, 0.1 * voice, -0.5 * voice):
        soundfile.write("two.wav", np.stack([voice, other], 1), RATE, subtype="FLOAT")
        source = FileSource("two.wav")
        np.testing.assert_allclose(heard(source), (voice + other) / 2, atol=1e-7)
        assert source.remark is None


def test_a_channel_can_be_chosen_from_any_input(voice):
    two = np.stack([voice, 0.5 * voice], 1)
    soundfile.write("two.wav", two, RATE, subtype="FLOAT")
    data = open("two.wav", "rb").read()
    for source in (
        FileSource("two.wav", channel=2),
        PipeSource(io.BytesIO(data), None, channel=2),
        PipeSource(io.BytesIO(two.astype("<f4").tobytes()), RATE, channels=2, channel=2),
    ):
        np.testing.assert_allclose(heard(source), two[:, 1], atol=1e-7)
    for source in (FileSource("two.wav", channel=3), PipeSource(io.BytesIO(data), None, channel=3)):
        with pytest.raises(InputError, match="has 2 channels, and --channel 3 is none of them; give 1 to 2"):
            heard(source)
    with pytest.raises(InputError, match="has one channel, and --channel 2 is none of them; give 1, or leave it out"):
        heard(PipeSource(io.BytesIO(bytes(4000)), RATE, channel=2))


# ---- delays of a codec -----------------------------------------------------------------------------


def mp3(voice, rate: int = RATE) -> tuple[bytes, bytes]:
    """An MP3, and the same without its first frame, which is the tag."""
    soundfile.write("v.mp3", voice, rate, subtype="MPEG_LAYER_III")
    data = open("v.mp3", "rb").read()
    assert b"Xing" in data[:2048] or b"Info" in data[:2048]
    second = next(i for i in range(100, 4000) if data[i : i + 2] == data[:2] and abs(data[i + 2] - data[2]) < 0x100)
    return data, data[second:]


@pytest.mark.parametrize("rate", [48_000, 22_050, 8_000])
def test_an_mp3_without_its_tag_is_on_time(rate):
    sung = demo_phrase(rate).samples[: 2 * rate]
    tagged, untagged = mp3(sung, rate)
    for name, data in (("tagged.mp3", tagged), ("untagged.mp3", untagged)):
        source = FileSource(put(name, data))
        assert lag(heard(source), sung) == 0, name
        assert source.notice is None


def test_an_mp3_in_a_wav_is_on_time(voice):
    _, frames = mp3(voice)
    fmt = struct.pack("<HHIIHHH", 0x55, 1, RATE, 16_000, 1, 0, 12) + struct.pack("<HIHHH", 1, 2, 384, 1, 0)
    body = (
        b"WAVEfmt "
        + struct.pack("<I", len(fmt))
        + fmt
        + b"fact"
        + struct.pack("<II", 4, len(voice))
        + b"data"
        + struct.pack("<I", len(frames))
        + frames
    )
    source = FileSource(put("mp3.wav", b"RIFF" + struct.pack("<I", len(body)) + body))
    assert lag(heard(source), voice) == 0 and source.notice is None


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="needs ffmpeg, which writes MPEG layer II")
def test_an_mp2_is_on_time(voice):
    soundfile.write("v.wav", voice, RATE)
    subprocess.run(["ffmpeg", "-v", "error", "-i", "v.wav", "v.mp2"], check=True)
    assert lag(heard(FileSource("v.mp2")), voice) == 0


def test_the_delay_is_that_of_lame_and_the_decoder():
    assert LAYER_3_DELAY == 576 + 529


# ---- pipes -----------------------------------------------------------------------------------------


def feed(path: str, data: bytes, pause_s: float = 0.0) -> threading.Thread:
    """Write to a named pipe as another program would."""

    def write() -> None:
        with open(path, "wb", buffering=0) as pipe:
            pipe.write(data[:1000])
            time.sleep(pause_s)
            pipe.write(data[1000:])

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


@posix
@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3", "aiff"])
def test_a_named_pipe_is_read_once_whatever_is_in_it(kind, voice):
    soundfile.write(f"v.{kind}", voice, RATE)
    wanted = heard(FileSource(f"v.{kind}"))
    os.mkfifo("ff")
    writer = feed("ff", open(f"v.{kind}", "rb").read(), 0.05)
    source = FileSource("ff")
    np.testing.assert_array_equal(heard(source), wanted)
    writer.join()
    assert source.notice is None and source.remark is None


@posix
@pytest.mark.skipif(not os.path.isdir("/dev/fd"), reason="needs /dev/fd, where a shell puts <(...)")
def test_process_substitution_is_read_once(voice):
    data = bytes(written(voice, "v.wav"))
    reader, writer = os.pipe()
    threading.Thread(target=lambda: (os.write(writer, data[:5]), time.sleep(0.05), open(writer, "wb").write(data[5:])), daemon=True).start()
    np.testing.assert_allclose(heard(FileSource(f"/dev/fd/{reader}")), voice, atol=2**-15)
    os.close(reader)


@posix
def test_a_wav_is_heard_while_its_writer_still_writes(voice):
    data, go_on = bytes(written(voice, "v.wav")), threading.Event()
    os.mkfifo("ff")

    def write() -> None:
        with open("ff", "wb", buffering=0) as pipe:
            pipe.write(data[:20_044])
            go_on.wait(20)
            pipe.write(data[20_044:])

    threading.Thread(target=write, daemon=True).start()
    with FileSource("ff") as source:
        count = 0
        while count < 10_000:
            count += len(source.read())
        assert len(source.read()) == 0, "nothing came, and it is not the end"
        go_on.set()
        while (block := source.read()) is not None:
            count += len(block)
    assert count == len(voice)


@posix
def test_a_named_pipe_that_nobody_writes_to_is_left_when_asked():
    os.mkfifo("ff")
    asked = []
    with pytest.raises(InputError, match="stopped before ff gave its first bytes"):
        FileSource("ff", stop=lambda: asked.append(1) or len(asked) > 2).open()


@posix
@pytest.mark.parametrize(
    "data, said",
    [
        (b"", "gave nothing"),
        (b"Dear diary", "gives no wav, flac"),
        (b"RIFF", "ended within the header"),
        (b"fLaC" + bytes(99), "is not audio that can be read"),
    ],
)
def test_a_named_pipe_with_no_recording_in_it_is_a_sentence(data, said):
    os.mkfifo("ff")
    feed("ff", data)
    with pytest.raises(InputError, match=said):
        FileSource("ff").open()


@posix
def test_a_device_is_no_recording():
    for name in ("/dev/zero", "/dev/tty"):
        if os.path.exists(name):
            with pytest.raises(InputError, match="is a device, not a recording"):
                FileSource(name).open()


@pytest.mark.parametrize(
    "subtype, step", [("PCM_U8", 2**-7), ("PCM_16", 2**-15), ("PCM_24", 2**-23), ("PCM_32", 2**-23), ("FLOAT", 0.0), ("DOUBLE", 1e-7)]
)
@pytest.mark.parametrize("extensible", [False, True])
def test_a_wav_on_standard_input_says_by_itself_what_it_is(subtype, step, extensible, voice):
    data = bytes(written(voice, "v.wav", subtype=subtype, format="WAVEX" if extensible else "WAV"))
    for rate in (None, RATE):
        source = PipeSource(io.BytesIO(data), rate)
        np.testing.assert_allclose(heard(source), voice, atol=step)
        assert source.sample_rate == RATE and source.notice is None


def test_a_wav_that_comes_byte_by_byte(voice):
    data = bytes(written(voice[:500], "v.wav"))
    for rate in (None, RATE):
        reader, writer = os.pipe()
        threading.Thread(
            target=lambda: [os.write(writer, data[i : i + 1]) for i in range(len(data))] and os.close(writer), daemon=True
        ).start()
        with os.fdopen(reader, "rb") as stream:
            np.testing.assert_allclose(heard(PipeSource(stream, rate)), voice[:500], atol=2**-15)


def test_a_wav_whose_rate_is_not_the_one_that_was_given(voice):
    data = bytes(written(voice, "v.wav"))
    with pytest.raises(InputError, match="is a wav of 48000 Hz, and --rate says 44100; leave --rate out"):
        heard(PipeSource(io.BytesIO(data), 44_100))


def test_sizes_in_a_streams_header_are_claims_too(voice):
    data = written(voice, "v.wav")
    at = data.index(b"data")
    for size, tail, more in (
        (len(voice) * 2, b"LIST\x04\x00\x00\x00abcd", False),
        (0, b"", False),
        (0xFFFFFFFF, b"", False),
        (5000, b"", True),
    ):
        data[at + 4 : at + 8] = struct.pack("<I", size)
        source = PipeSource(io.BytesIO(bytes(data) + tail), None)
        np.testing.assert_allclose(heard(source), voice, atol=2**-15)
        assert bool(source.notice and "went on after the size" in source.notice) == more


@pytest.mark.parametrize("loud", [0.9, 0.05])
def test_16_bit_samples_on_standard_input_are_refused_with_the_cure(loud, voice):
    data = (voice / np.abs(voice).max() * loud * 32767).astype("<i2").tobytes()
    with pytest.raises(InputError, match=r"holds no float32 sound \(16-bit integers look like this\).*\(ffmpeg: -f f32le"):
        heard(PipeSource(io.BytesIO(data), RATE))


def test_other_kinds_are_refused_and_floats_of_any_level_are_not(voice):
    for kind in (">f4", "<i4", "<f8"):
        data = (voice.astype(float) * (2**31 - 1 if kind == "<i4" else 1 / 3)).astype(kind).tobytes()
        with pytest.raises(InputError, match="raw samples must be little-endian float32"):
            heard(PipeSource(io.BytesIO(data), RATE))
    for level in (1.0, 1e-6, 32768.0):
        samples = (voice * level).astype("<f4")
        np.testing.assert_array_equal(heard(PipeSource(io.BytesIO(samples.tobytes()), RATE)), samples)
    strange = np.array([np.nan, np.inf, -np.inf, 0.0], "<f4").repeat(50)
    assert looks_like_floats(strange) is None and looks_like_floats(np.concatenate([voice, strange])) is True


def test_raw_floats_of_another_scale_are_told_at_the_end(voice):
    source = PipeSource(io.BytesIO((voice * 32768).astype("<f4").tobytes()), RATE)
    heard(source)
    assert "standard input held floats up to" in source.notice and "scale it by" in source.notice


def test_without_a_rate_raw_samples_are_refused_and_nothing_is_told():
    with pytest.raises(InputError, match="needs --rate HZ for raw samples, which do not say their rate as a wav does"):
        PipeSource(io.BytesIO(bytes(4000)), None).open()
    with pytest.raises(InputError, match="ended before its first sample"):
        PipeSource(io.BytesIO(b""), None).open()


@pytest.mark.parametrize(
    "head, said",
    [
        (b"RIFF\x00\x00\x00\x00AVI LIST", "is no wav"),
        (b"RIFF\x00\x00\x00\x00WAVEdata\x00\x00\x00\x00" + bytes(40), "does not say how its samples are stored"),
        (
            b"RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00" + struct.pack("<HHIIHH", 2, 1, 48000, 1, 1, 4) + b"data" + bytes(40),
            "format 2, 4 bits",
        ),
        (
            b"RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00" + struct.pack("<HHIIHH", 1, 0, 48000, 1, 1, 16) + b"data" + bytes(40),
            "0 channels",
        ),
        (
            b"RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00" + struct.pack("<HHIIHH", 1, 1, 7, 1, 1, 16) + b"data" + bytes(40),
            "sample rate 7 Hz",
        ),
        (b"RIFF\x00\x00\x00\x00WAVEJUNK\xff\xff\xff\x7f" + bytes(99), "without sound in its first MB"),
        (b"RIFF\x00\x00\x00\x00WAVE", "ended within the header"),
        (b"RIFF\x00\x00\x00\x00WAVE" + bytes(200), "ended within the header"),
    ],
)
def test_a_header_that_is_none_is_a_sentence(head, said):
    for rate in (None, 48_000):
        with pytest.raises(InputError, match=said):
            heard(PipeSource(io.BytesIO(head), rate))


# ---- the line to paste -----------------------------------------------------------------------------


def test_the_conversion_can_be_pasted_whatever_the_name():
    put("song.wav", b"")
    for name, made in (
        ("my memo.m4a", "my memo.wav"),
        ("song.wav", "song-2.wav"),
        ("it's $HOME.m4a", "it's $HOME.wav"),
        ("-x.m4a", "./-x.wav"),
        ("~.m4a", "~.wav"),
    ):
        words = shlex.split(conversion(name, "linux"))
        assert words == ["ffmpeg", "-i", f"./{name}" if name.startswith("-") else name, made]
        assert shlex.split(conversion(name, "darwin"))[-2:] == words[-2:]
    assert conversion("my memo.m4a", "darwin") == "afconvert -f WAVE -d LEI16 'my memo.m4a' 'my memo.wav'"
    assert conversion("my memo.m4a", "win32") == 'ffmpeg -i "my memo.m4a" "my memo.wav"'
    assert quoted("a.wav") == "a.wav" and free_name("song") == "song-2.wav"


@pytest.mark.skipif(sys.platform == "win32" or not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize("name", [b"a\x1b[31m'\\x\n$b", b"\xff\xfe caf\xc3\xa9", "right\u202eleft".encode()])
def test_a_name_that_does_not_print_is_spelled_out_for_the_shell(name):
    line = visible(f"printf %s {quoted(os.fsdecode(name), 'linux')}")
    assert line.isprintable() and subprocess.run(["bash", "-c", line], capture_output=True, check=True).stdout == name


@pytest.mark.slow
def test_a_phones_memo_is_refused_with_the_line_that_reads_it(voice):
    soundfile.write("v.wav", voice, RATE)
    if shutil.which("ffmpeg"):
        subprocess.run(["ffmpeg", "-v", "error", "-i", "v.wav", "-c:a", "aac", "my memo.m4a"], check=True)
    else:
        put("my memo.m4a", b"\x00\x00\x00\x1cftypM4A \x00\x00\x02\x00M4A isomiso2" + bytes(999))
    with pytest.raises(InputError) as refused:
        FileSource("my memo.m4a").open()
    line = str(refused.value).rpartition("or convert it: ")[2]
    assert shlex.split(line)[-2:] == ["my memo.m4a", "my memo.wav"]
    if shutil.which("ffmpeg"):
        subprocess.run(f"{line} 2> log", shell=True, check=True)
        assert abs(lag(heard(FileSource("my memo.wav")), voice)) < 50
