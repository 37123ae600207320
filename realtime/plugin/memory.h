/* The memory that the plugin (the shell) and the Python program (the engine) share, one block an instance.
 *
 * C++ includes this file; Python reads the very same lines (realtime/plugin/memory.py). So an entry is one line
 * `RTM_NAME = number, // meaning`, and the numbers are written out.
 *
 * Conventions
 * - The block begins with RTM_WORDS words of 64 bits, then come four rings: voice, band, commands, events. Each word has one
 *   writer. Whoever fills a ring stores its count last, with release; the other loads it with acquire.
 * - Counts and positions begin at 0 with the block, and never wrap. Entry n of a ring lies at place n modulo its size.
 * - A position is a count of samples. Sample RTM_START of them is second 0 of the stream that sounds; a stream ends where
 *   the host stops, starts, or changes its rate, and RTM_STREAM counts them.
 * - Voice and band: float32, one channel each, written together. The band is what comes in by the side-chain, silence where
 *   that is not connected. The shell never waits for a reader: what was not read in time is overwritten.
 * - Commands, 16 bytes each: int64 position, int32 what, float32 value. Each holds from that sample on.
 * - Events, 16 bytes each: int64 position, uint8 length (1 to 3), uint8 stream (its count modulo 256), uint8 MIDI[6].
 *   The position is that of the first sample that was not needed to know the event. The shell plays it RTM_WAIT later.
 * - The engine sleeps until RTM_DUE is written. It stores that word and then looks at RTM_WRITTEN once more; the shell stores
 *   RTM_WRITTEN and then looks at RTM_DUE, and wakes it by a byte in the pipe once for each RTM_DUE that it has reached. Both
 *   do so in sequential order, so one of them sees what the other stored. Commands, and any sound while RTM_OFFLINE, wake it too.
 * - Times are nanoseconds of CLOCK_MONOTONIC.
 */
#ifndef RT_MELODY_MEMORY_H
#define RT_MELODY_MEMORY_H

enum RtmConstant {
    RTM_MAGIC_VALUE = 0x79646F6C656D7472, // "rtmelody"
    RTM_VERSION_VALUE = 4, // goes up whenever anything here changes its meaning
    RTM_WORDS = 96, // of 8 bytes
    RTM_SOUND_SAMPLES = 524288, // of either ring; 1.3 s at 384 kHz
    RTM_COMMANDS_SIZE = 1024,
    RTM_EVENTS_SIZE = 4096,
    RTM_ENTRY_BYTES = 16, // of a command or an event
    RTM_TEXT_BYTES = 256, // of RTM_TEXT, with its closing zero
    RTM_MOST_SAMPLES = 8192, // that the shell writes at once
};

enum RtmWord {
    // Written by the shell.
    RTM_MAGIC = 0, // RTM_MAGIC_VALUE, last of all
    RTM_VERSION = 1, // RTM_VERSION_VALUE
    RTM_BYTES = 2, // of the whole block
    RTM_HOST_BEAT = 3, // when the shell's own thread last ran
    RTM_RATE = 4, // samples a second
    RTM_STREAM = 5, // how many streams have begun; 0: none yet
    RTM_START = 6, // position at which the newest one began
    RTM_WRITTEN = 7, // samples in the ring so far
    RTM_WAIT = 8, // samples from an event's position to where it is played
    RTM_OFFLINE = 9, // 1: the shell waits for the engine, and nothing may be skipped
    RTM_COMMANDS_WRITTEN = 10,
    RTM_COMMANDS_LOST = 11, // found no room: all parameters are to be read anew
    RTM_EVENTS_READ = 12,
    RTM_EVENTS_LATE = 13, // came when their sample had been played
    RTM_EVENTS_BAD = 14, // passed over: no MIDI, or of a time that is not yet
    RTM_CUTS = 15, // how often the shell ended notes because the engine was late or gone
    RTM_PARAMETERS = 16, // RTM_PARAMETER_COUNT words, each the bits of a float32: what holds now
    RTM_HOST_PRIORITY = 40, // real-time priority of the thread that plays; 0: none. The engine must not run before it
    // Written by the engine.
    RTM_ENGINE_VERSION = 48, // RTM_VERSION_VALUE, as the engine knows it
    RTM_ENGINE_STATE = 49, // see RtmState
    RTM_ENGINE_BEAT = 50,
    RTM_ENGINE_STREAM = 51, // the stream that it hears
    RTM_READ = 52, // samples taken out of the ring
    RTM_PROCESSED = 53, // up to this position all events are in the ring
    RTM_COMMANDS_READ = 54,
    RTM_EVENTS_WRITTEN = 55,
    RTM_LATENCY = 56, // samples from a sound to its pitch, by the engine's arithmetic
    RTM_SKIPS = 57, // how often it fell behind, and went on from the newest sound
    RTM_ENGINE_PID = 58,
    RTM_DUE = 59, // position that completes what the engine waits for
    RTM_TEXT = 64, // RTM_TEXT_BYTES of UTF-8: why RTM_ENGINE_STATE is RTM_FAILED
};

enum RtmState {
    RTM_STARTING = 0,
    RTM_READY = 1,
    RTM_FAILED = 2, // what was asked for cannot be had; RTM_TEXT says why
};

enum RtmCommand {
    RTM_COMMAND_PARAMETER = 0, // and up: the parameter of that number has this value
    RTM_COMMAND_END = 100, // end the note that sounds
    RTM_COMMAND_STREAM = 101, // a new stream begins; the value is its sample rate
};

enum RtmParameter {
    RTM_PARAMETER_BYPASS = 0,
    RTM_PARAMETER_MODE = 1, // mono, legato, bend, mpe
    RTM_PARAMETER_BEND_RANGE = 2, // semitones; 0: what suits the mode
    RTM_PARAMETER_TRANSPOSE = 3, // semitones
    RTM_PARAMETER_SCALE = 4, // off, auto, then the kinds of scales
    RTM_PARAMETER_TONIC = 5, // 0 is C
    RTM_PARAMETER_SNAP = 6, // cents; 0: off, 100: hard
    RTM_PARAMETER_GATE = 7, // off, auto, level
    RTM_PARAMETER_GATE_DB = 8, // of the gate "level", dBFS
    RTM_PARAMETER_BOUND = 9, // ms
    RTM_PARAMETER_LOWEST = 10, // MIDI number
    RTM_PARAMETER_HIGHEST = 11, // MIDI number; below the lowest: nothing is played
    RTM_PARAMETER_PANIC = 12, // at 1 all sound ends
    RTM_PARAMETER_DIRECT = 13, // 1: the sound passes at once, not in line with the notes
    RTM_PARAMETER_FREEWHEEL = 14, // 1: the host bounces, so the shell waits for the engine
    RTM_PARAMETER_PANEL = 15, // 1: the engine shows what it hears in the browser
    RTM_PARAMETER_LIGHT = 16, // 1: hear with the light model
    RTM_PARAMETER_COUNT = 17, // a new one comes last: hosts and projects know them by their numbers
};

#endif
