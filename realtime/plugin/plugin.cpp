// The plugin: a thin shell around the Python program. Sound passes through and is copied into shared memory, the program
// hears it there and puts MIDI events beside it, and the shell plays each at its sample. See memory.h for what they share.
//
// Conventions
// - run() never allocates, takes no lock, and makes one system call, the write that wakes the engine, where a block completes
//   what that waits for (a hop of the tracker's; see RTM_DUE). Where the host bounces, faster than the clock, it waits for the
//   engine besides, so that the take is complete and always the same.
// - All times of a host are blocks; all times here are positions in the stream of samples (see memory.h).
// - A thread of the shell's own, the keeper, starts the engine, starts it anew where it ended, and reaps it.
// - The memory has no name that another program could meet: the engine inherits it, and the pipe that wakes it. It ends with
//   the last of the two, whatever ends them.

#include "DistrhoPlugin.hpp"
#include "memory.h"

#include <atomic>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef RT_MELODY_ENGINE
# define RT_MELODY_ENGINE "rt-melody" // what `rt-melody plugin install` fills in
#endif

#ifndef RT_MELODY_VERSION
# define RT_MELODY_VERSION "0.0.0"
#endif

extern char** environ;

START_NAMESPACE_DISTRHO

namespace {

constexpr int64_t MS = 1000000; // ns
constexpr int64_t LATE_NS = 60 * MS; // an engine that has not been seen for so long is late: its notes end
constexpr int64_t HUNG_NS = 5000 * MS; // ... for so long is ended and started anew
constexpr int64_t START_NS = 300000 * MS; // what loading may take: the first start of all compiles, and a machine may be slow or busy
constexpr int64_t KEEPER_NS = 10 * MS;
constexpr int64_t LEAST_WAIT_MS = 5; // what the engine needs to compute in, where blocks are shorter
constexpr int64_t GIVE_UP_NS = START_NS + 10000 * MS; // without progress, while bouncing
constexpr int64_t LONGEST_BOUND_MS = 500;
constexpr double BEHIND_S = 0.2; // a live host that stood still may make up for so much
constexpr double AHEAD_S = 0.025; // ahead of the clock by so much and three blocks: no live host
constexpr uint32_t MOST = RTM_MOST_SAMPLES;
constexpr int INPUTS = DISTRHO_PLUGIN_NUM_INPUTS; // the voice, left and right, and the band, where the format has a side-chain
const float SILENCE[MOST] = {};
constexpr int ENGINE_MEMORY_FD = 3, ENGINE_PIPE_FD = 4;

const char* const SCALES[] = {"off", "auto", "chromatic", "major", "minor", "harmonic minor", "melodic minor", "dorian", "phrygian",
                              "lydian", "mixolydian", "locrian", "major pentatonic", "minor pentatonic", "blues", "whole tone"};
const char* const TONICS[] = {"C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"};
const char* const MODES[] = {"mono", "legato", "bend", "mpe"};
const char* const GATES[] = {"off", "auto", "level"};
const char* const PASSAGES[] = {"in line with the notes", "direct"};

struct Told { // a parameter as hosts show it
    const char *name, *symbol, *unit;
    float usual, least, most;
    uint32_t hints;
    const char* const* words;
    uint8_t count;
};

constexpr uint32_t WHOLE = kParameterIsAutomatable | kParameterIsInteger;

const Told PARAMETERS[RTM_PARAMETER_COUNT] = {
    {"Bypass", "bypass", "", 0, 0, 1, WHOLE, nullptr, 0},
    {"Mode", "mode", "", 0, 0, 3, WHOLE, MODES, 4},
    {"Bend range (0: as the mode)", "bend_range", "st", 0, 0, 48, WHOLE, nullptr, 0},
    {"Transpose", "transpose", "st", 0, -36, 36, WHOLE, nullptr, 0},
    {"Scale", "scale", "", 0, 0, 15, WHOLE, SCALES, 16},
    {"Tonic", "tonic", "", 0, 0, 11, WHOLE, TONICS, 12},
    {"Snap (100: hard)", "snap", "ct", 100, 0, 100, WHOLE, nullptr, 0},
    {"Gate", "gate", "", 0, 0, 2, WHOLE, GATES, 3},
    {"Gate level", "gate_level", "dB", -45, -120, 0, kParameterIsAutomatable, nullptr, 0},
    {"Latency bound", "bound", "ms", 50, 15, LONGEST_BOUND_MS, WHOLE, nullptr, 0},
    {"Lowest note", "lowest", "", 0, 0, 127, WHOLE, nullptr, 0},
    {"Highest note", "highest", "", 127, 0, 127, WHOLE, nullptr, 0},
    {"Panic", "panic", "", 0, 0, 1, kParameterIsAutomatable | kParameterIsTrigger | kParameterIsInteger, nullptr, 0},
    {"Sound", "sound", "", 0, 0, 1, WHOLE, PASSAGES, 2},
    {"Bounce: wait for the engine", "freewheel", "", 0, 0, 1, WHOLE | kParameterIsBoolean, nullptr, 0},
    {"Panel in the browser", "panel", "", 0, 0, 1, kParameterIsInteger | kParameterIsBoolean, nullptr, 0},
    {"Light model", "light", "", 0, 0, 1, WHOLE | kParameterIsBoolean, nullptr, 0},
};

int64_t nowNs()
{
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 * MS + t.tv_nsec;
}

void sleepNs(const int64_t ns)
{
    const timespec t = {time_t(ns / (1000 * MS)), long(ns % (1000 * MS))};
    nanosleep(&t, nullptr);
}

void say(const char* const what, const char* const which = "")
{
    std::fprintf(stderr, "rt-melody plugin: %s%s\n", what, which);
}

// ---- the memory ------------------------------------------------------------------------------------------------------

struct Entry { // a command or an event
    int64_t position;
    uint8_t bytes[8];
};
static_assert(sizeof(Entry) == RTM_ENTRY_BYTES, "as memory.h says");

int nameless(const size_t bytes) // a descriptor of so much new memory; -1 where it is refused
{
#ifdef __linux__
    const int fd = memfd_create("rt-melody", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd >= 0 && (ftruncate(fd, off_t(bytes)) != 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0))
        return close(fd), -1;
    return fd;
#else
    char name[32];
    for (int attempt = 0; attempt < 100; ++attempt) {
        std::snprintf(name, sizeof name, "/rtm-%x-%x", unsigned(getpid()), unsigned(nowNs() + attempt));
        const int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
        if (fd < 0)
            continue;
        shm_unlink(name); // from here on it has none
        if (ftruncate(fd, off_t(bytes)) == 0)
            return fd;
        close(fd);
    }
    return -1;
#endif
}

class Memory
{
public:
    static constexpr size_t BYTES = RTM_WORDS * 8 + RTM_SOUND_SAMPLES * 8 + (RTM_COMMANDS_SIZE + RTM_EVENTS_SIZE) * RTM_ENTRY_BYTES;

    Memory()
        : fd(nameless(BYTES))
    {
        void* const at = fd < 0 ? MAP_FAILED : mmap(nullptr, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (at == MAP_FAILED)
            return;
        std::memset(at, 0, BYTES); // every page is there before run() meets it
        words = static_cast<int64_t*>(at);
        voice = reinterpret_cast<float*>(words + RTM_WORDS);
        band = voice + RTM_SOUND_SAMPLES;
        commands = reinterpret_cast<Entry*>(band + RTM_SOUND_SAMPLES);
        events = commands + RTM_COMMANDS_SIZE;
        set(RTM_BYTES, BYTES);
        set(RTM_VERSION, RTM_VERSION_VALUE);
        set(RTM_MAGIC, RTM_MAGIC_VALUE);
    }

    ~Memory()
    {
        if (words != nullptr)
            munmap(words, BYTES);
        if (fd >= 0)
            close(fd);
    }

    // In sequential order with each other: what one side stored before it looks, the other side sees, or is seen by it.
    int64_t getInOrder(const int word) const { return __atomic_load_n(words + word, __ATOMIC_SEQ_CST); }
    void setInOrder(const int word, const int64_t value) { __atomic_store_n(words + word, value, __ATOMIC_SEQ_CST); }
    int64_t get(const int word) const { return __atomic_load_n(words + word, __ATOMIC_ACQUIRE); }
    void set(const int word, const int64_t value) { __atomic_store_n(words + word, value, __ATOMIC_RELEASE); }
    void add(const int word, const int64_t more) { set(word, get(word) + more); } // by its one writer
    explicit operator bool() const { return words != nullptr; }

    const int fd;
    int64_t* words = nullptr;
    float *voice = nullptr, *band = nullptr;
    Entry *commands = nullptr, *events = nullptr;

    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
};

// ---- the engine's process --------------------------------------------------------------------------------------------

class Keeper
{
public:
    explicit Keeper(Memory& memory)
        : fMemory(memory)
    {
        int ends[2];
        if (!memory || pipe(ends) != 0)
            return;
        for (int i = 0; i < 2; ++i) { // out of the way of the numbers that the engine knows, and of other children
            fPipe[i] = fcntl(ends[i], F_DUPFD_CLOEXEC, 64);
            close(ends[i]);
        }
        fcntl(fPipe[1], F_SETFL, O_NONBLOCK); // this description's alone; the reader stays as it was
        fThread = std::thread([this] { keep(); });
    }

    ~Keeper()
    {
        fQuit.store(true);
        if (fThread.joinable())
            fThread.join();
        end();
        for (const int fd : fPipe)
            if (fd >= 0)
                close(fd);
    }

    void want() { fWanted.store(true); } // from the first stream on; hosts that only look at us get no process

    // Whether it can be heard; from run().
    bool alive(const int64_t now) const
    {
        return !fGone.load(std::memory_order_acquire) && fMemory.get(RTM_ENGINE_STATE) == RTM_READY
            && now - fMemory.get(RTM_ENGINE_BEAT) < LATE_NS;
    }

    // Who calls run(); asks the system where it is another thread than before.
    void calledBy(const pthread_t thread)
    {
#ifdef __linux__
        if (fKnown && pthread_equal(thread, fCaller))
            return;
        fKnown = true;
        fCaller = thread;
        fCallerId.store(pid_t(syscall(SYS_gettid)));
#else
        (void)thread;
#endif
    }

    bool hopeless() const { return fHopeless.load() || fMemory.get(RTM_ENGINE_STATE) == RTM_FAILED; }

    void wake()
    {
        if (write(fPipe[1], "", 1) < 0) {} // full: it is awake; nobody there: the keeper sees to that
    }

private:
    void keep()
    {
        while (!fQuit.load()) {
            const int64_t now = nowNs();
            fMemory.set(RTM_HOST_BEAT, now);
            fMemory.set(RTM_HOST_PRIORITY, priority());
            if (fPid > 0)
                look(now);
            else if (fWanted.load() && now >= fRetryNs)
                start(now);
            sleepNs(KEEPER_NS);
        }
    }

    int priority() const // of the thread that calls run()
    {
#ifdef __linux__
        sched_param parameter = {};
        const pid_t id = fCallerId.load();
        const int policy = id == 0 ? SCHED_OTHER : sched_getscheduler(id);
        if (policy >= 0 && (policy & ~SCHED_RESET_ON_FORK) != SCHED_OTHER && sched_getparam(id, &parameter) == 0)
            return parameter.sched_priority;
#endif
        return 0;
    }

    void look(const int64_t now)
    {
        int status = 0;
        const pid_t ended = waitpid(fPid, &status, WNOHANG);
        if (ended == fPid || (ended < 0 && errno == ECHILD && kill(fPid, 0) != 0))
            return gone(now);
        const int64_t state = fMemory.get(RTM_ENGINE_STATE), beat = fMemory.get(RTM_ENGINE_BEAT);
        if (state == RTM_READY) {
            fGone.store(false, std::memory_order_release);
            fReadyNs = fReadyNs == 0 ? now : fReadyNs;
            fFailures = now - fReadyNs > 1000 * MS ? 0 : fFailures;
        }
        if (state != RTM_STARTING && fMemory.get(RTM_ENGINE_VERSION) != RTM_VERSION_VALUE) {
            say("the installed rt-melody is of another version; run rt-melody plugin install again");
            fHopeless.store(true);
            fWanted.store(false);
            end();
        } else if (state == RTM_STARTING ? now - fStartedNs > START_NS : now - beat > HUNG_NS) {
            say("the engine hangs; it is started anew");
            end();
            gone(now);
        }
    }

    void gone(const int64_t now)
    {
        fPid = -1;
        fGone.store(true, std::memory_order_release);
        fMemory.set(RTM_ENGINE_STATE, RTM_STARTING);
        const int64_t waits[] = {0, 250, 1000, 5000, 15000};
        fRetryNs = now + waits[fFailures < 4 ? fFailures : 4] * MS;
        ++fFailures;
        if (fFailures == 5)
            say("the engine ends again and again; rt-melody plugin check says more");
    }

    void start(const int64_t now)
    {
        const char* const asked = std::getenv("RT_MELODY_PLUGIN_ENGINE");
        const char* const engine = asked != nullptr && *asked != 0 ? asked : RT_MELODY_ENGINE;
        fGone.store(true, std::memory_order_release);
        fMemory.set(RTM_ENGINE_STATE, RTM_STARTING);
        fStartedNs = now;
        fReadyNs = 0;
        const int error = spawn(engine);
        if (error != 0) {
            if (fFailures == 0)
                std::fprintf(stderr, "rt-melody plugin: the engine %s cannot be started (%s); run rt-melody plugin install again\n",
                             engine, std::strerror(error));
            fHopeless.store(true);
            gone(now);
        } else {
            fHopeless.store(false);
        }
    }

    int spawn(const char* const engine)
    {
        posix_spawn_file_actions_t files;
        posix_spawnattr_t attributes;
        posix_spawn_file_actions_init(&files);
        posix_spawnattr_init(&attributes);
        posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(&files, 2, 1); // nothing of ours in the host's standard output
        const int memory = fcntl(fMemory.fd, F_DUPFD_CLOEXEC, 64);
        posix_spawn_file_actions_adddup2(&files, memory, ENGINE_MEMORY_FD);
        posix_spawn_file_actions_adddup2(&files, fPipe[0], ENGINE_PIPE_FD);
        sigset_t none, all;
        sigemptyset(&none);
        sigfillset(&all);
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setsigdefault(&attributes, &all);
        posix_spawnattr_setpgroup(&attributes, 0); // a Ctrl-C is the host's
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
        const char* const arguments[] = {engine, "plugin", "host", "3", "4", nullptr};
        std::vector<char*> environment;
        for (char** variable = environ; *variable != nullptr; ++variable)
            if (std::strncmp(*variable, "PYTHONHOME=", 11) != 0 && std::strncmp(*variable, "PYTHONPATH=", 11) != 0)
                environment.push_back(*variable); // a host's own Python is none of ours
        environment.push_back(nullptr);
        pid_t pid = -1;
        const int error = posix_spawnp(&pid, engine, &files, &attributes, const_cast<char* const*>(arguments), environment.data());
        posix_spawnattr_destroy(&attributes);
        posix_spawn_file_actions_destroy(&files);
        close(memory);
        fPid = error == 0 ? pid : -1;
        return error;
    }

    void end() // it holds nothing that would be lost
    {
        if (fPid > 0) {
            kill(fPid, SIGKILL);
            waitpid(fPid, nullptr, 0);
            fPid = -1;
        }
    }

    Memory& fMemory;
    int fPipe[2] = {-1, -1};
    pid_t fPid = -1; // the keeper's own, as all below
    int64_t fRetryNs = 0, fStartedNs = 0, fReadyNs = 0;
    int fFailures = 0;
    std::atomic<bool> fQuit{false}, fWanted{false}, fGone{true}, fHopeless{false};
    bool fKnown = false; // run()'s own, as the next
    pthread_t fCaller{};
    std::atomic<pid_t> fCallerId{0};
    std::thread fThread;
};

} // namespace

// ---- the plugin ------------------------------------------------------------------------------------------------------

class RtMelody : public Plugin
{
public:
    RtMelody()
        : Plugin(RTM_PARAMETER_COUNT, 0, 0),
          fKeeper(fMemory)
    {
        if (!fMemory)
            say("no shared memory can be had, so no notes are played: ", std::strerror(errno));
        for (int i = 0; i < RTM_PARAMETER_COUNT; ++i) {
            fValues[i].store(PARAMETERS[i].usual);
            fSent[i] = PARAMETERS[i].usual;
            if (fMemory)
                fMemory.set(RTM_PARAMETERS + i, bits(fSent[i]));
        }
        plan();
    }

protected:
    const char* getLabel() const override { return "rt_melody"; }
    const char* getDescription() const override { return "A singer's melody as MIDI, live."; }
    const char* getMaker() const override { return "rt-melody"; }
    const char* getLicense() const override { return "MIT"; }
    uint32_t getVersion() const override
    {
        unsigned parts[3] = {};
        std::sscanf(RT_MELODY_VERSION, "%u.%u.%u", parts, parts + 1, parts + 2);
        return d_version(parts[0] & 255, parts[1] & 255, parts[2] & 255);
    }
    int64_t getUniqueId() const override { return d_cconst('r', 't', 'M', 'y'); }

    void initAudioPort(const bool input, const uint32_t index, AudioPort& port) override
    {
        if (index < 2) {
            port.groupId = kPortGroupStereo;
            return Plugin::initAudioPort(input, index, port);
        }
        port.hints = kAudioPortIsSidechain;
        port.name = index == 2 ? "Band left" : "Band right";
        port.symbol = index == 2 ? "band_left" : "band_right";
    }

    void initParameter(const uint32_t index, Parameter& parameter) override
    {
        if (index == RTM_PARAMETER_BYPASS)
            return parameter.initDesignation(kParameterDesignationBypass);
        const Told& told = PARAMETERS[index];
        parameter.name = told.name;
        parameter.symbol = told.symbol;
        parameter.unit = told.unit;
        parameter.hints = told.hints;
        parameter.ranges = ParameterRanges(told.usual, told.least, told.most);
        if (told.words == nullptr)
            return;
        ParameterEnumerationValue* const values = new ParameterEnumerationValue[told.count];
        for (uint8_t i = 0; i < told.count; ++i)
            values[i] = ParameterEnumerationValue(i, told.words[i]);
        parameter.enumValues.values = values;
        parameter.enumValues.count = told.count;
        parameter.enumValues.restrictedMode = true;
    }

#if DISTRHO_PLUGIN_WANT_STATE
    void initState(uint32_t, State&) override {}
    void setState(const char*, const char*) override {}
#endif

    float getParameterValue(const uint32_t index) const override { return fValues[index].load(); }

    void setParameterValue(const uint32_t index, const float value) override
    {
        const Told& told = PARAMETERS[index];
        fValues[index].store(value >= told.least ? value <= told.most ? value : told.most : told.least); // NaN: the least
    }

    // ---- the stream: begun by a host that is not in run() ------------------------------------------------------------

    void activate() override
    {
        fRate = getSampleRate();
        fBlock = int64_t(getBufferSize());
        plan();
        int64_t size = 1;
        while (size < int64_t(fRate * LONGEST_BOUND_MS / 1000) + 3 * RTM_MOST_SAMPLES + 2 * fBlock)
            size *= 2;
        for (std::vector<float>& channel : fPast)
            channel.assign(size_t(size), 0.0f);
        std::memset(fHeard, 0, sizeof fHeard);
        fAnew = true;
        fLead = 0.0;
        fLastNs = 0;
        fDelay = fDirect ? 0 : fLatency;
        beginStream();
    }

    void sampleRateChanged(double) override { fRate = getSampleRate(); plan(); }
    void bufferSizeChanged(const uint32_t frames) override { fBlock = frames; plan(); }

    void beginStream()
    {
        if (!fMemory)
            return;
        const int64_t stream = fMemory.get(RTM_STREAM) + 1;
        fStart = fMemory.get(RTM_WRITTEN);
        fMemory.set(RTM_START, fStart);
        fMemory.set(RTM_RATE, int64_t(fRate + 0.5));
        fMemory.set(RTM_STREAM, stream);
        command(RTM_COMMAND_STREAM | int32_t(stream & 0x7FFFFF) << 8, float(fRate));
        fKeeper.want();
        fKeeper.wake();
    }

    // The latency that holds now: the bound, or what the engine says that it needs, and the wait for its events.
    void plan()
    {
        const int64_t least = int64_t(std::ceil(fRate * LEAST_WAIT_MS / 1000));
        fWait = fBlock >= least ? fBlock : (least + fBlock - 1) / fBlock * fBlock;
        int64_t bound = int64_t(std::ceil(fRate * double(fValues[RTM_PARAMETER_BOUND].load()) / 1000.0));
        if (fMemory) {
            fMemory.set(RTM_WAIT, fWait);
            const int64_t needed = fMemory.get(RTM_LATENCY), most = int64_t(fRate * LONGEST_BOUND_MS / 1000);
            bound = needed > bound && needed <= most ? needed : bound;
        }
        if (bound + fWait != fLatency) {
            fLatency = bound + fWait;
            setLatency(uint32_t(fLatency));
        }
    }

    // ---- run ---------------------------------------------------------------------------------------------------------

    void run(const float** const inputs, float** const outputs, const uint32_t frames) override
    {
        if (fPast[0].empty()) // never activated
            return pass(inputs, outputs, frames);
        if (int64_t(frames) > fBlock) // more than the host had said
            fBlock = frames;
        plan();
        fLastFrame = 0;
        for (uint32_t done = 0; done < frames;) {
            const uint32_t part = frames - done < MOST ? frames - done : MOST;
            const float* in[INPUTS] = {};
            for (int c = 0; c < INPUTS; ++c)
                in[c] = inputs[c] == nullptr ? nullptr : inputs[c] + done; // a side-chain may be left alone
            float* const out[2] = {outputs[0] + done, outputs[1] + done};
            cycle(in, out, part, done);
            done += part;
        }
    }

    static void pass(const float** const inputs, float** const outputs, const uint32_t frames)
    {
        for (int c = 0; c < 2; ++c)
            if (outputs[c] != inputs[c])
                std::memmove(outputs[c], inputs[c], frames * sizeof(float));
    }

    void cycle(const float* const in[INPUTS], float* const out[2], const uint32_t frames, const uint32_t offset)
    {
        const int64_t now = nowNs();
        if (fMemory) {
            fKeeper.calledBy(pthread_self());
            if (fAnew)
                endNotes(offset); // of the stream before
            fAnew = false;
            tellChanges(offset);
            const int64_t position = fMemory.get(RTM_WRITTEN);
            const bool offline = bounces(now, frames);
            hear(in, frames, position);
            if (isDue(position + frames) || offline)
                fKeeper.wake();
            if (offline)
                await(position + frames - fWait);
            if (!fKeeper.alive(now) && !fOffline)
                cut(offset);
            play(position, frames, offset);
        }
        through(in, out, frames);
    }

    // What the host changed since the last block.
    void tellChanges(const uint32_t offset)
    {
        for (int i = 0; i < RTM_PARAMETER_COUNT; ++i) {
            const float value = fValues[i].load(std::memory_order_relaxed);
            if (value == fSent[i])
                continue;
            fSent[i] = value;
            fMemory.set(RTM_PARAMETERS + i, bits(value));
            command(RTM_COMMAND_PARAMETER + i, value);
            if ((i == RTM_PARAMETER_PANIC || i == RTM_PARAMETER_BYPASS) && value > 0.5f)
                silence(offset, i == RTM_PARAMETER_PANIC);
            if (i == RTM_PARAMETER_FREEWHEEL && value > 0.5f)
                beginBounce(offset);
        }
        fDirect = fSent[RTM_PARAMETER_DIRECT] > 0.5f;
        const bool playing = getTimePosition().playing;
        if (fPlaying && !playing)
            silence(offset, false);
        if (playing && !fPlaying && fSent[RTM_PARAMETER_FREEWHEEL] > 0.5f)
            beginBounce(offset); // some hosts give blocks of silence before, now more, now fewer
        fPlaying = playing;
    }

    // What was heard before does not make one bounce another than the next.
    void beginBounce(const uint32_t offset)
    {
        if (fMemory.get(RTM_WRITTEN) == fStart)
            return;
        endNotes(offset);
        beginStream();
    }

    // A new note may begin after this one; the voice may still sound.
    void silence(const uint32_t offset, const bool all)
    {
        endNotes(offset);
        command(RTM_COMMAND_END, 0.0f);
        for (uint8_t channel = 0; all && channel < 16; ++channel) {
            send(offset, uint8_t(0xB0 | channel), 120, 0, 3);
            send(offset, uint8_t(0xB0 | channel), 123, 0, 3);
            send(offset, uint8_t(0xE0 | channel), 0, 64, 3);
        }
    }

    void command(const int32_t what, const float value)
    {
        const int64_t count = fMemory.get(RTM_COMMANDS_WRITTEN);
        if (count - fMemory.get(RTM_COMMANDS_READ) >= RTM_COMMANDS_SIZE)
            return fMemory.add(RTM_COMMANDS_LOST, 1);
        Entry& entry = fMemory.commands[count % RTM_COMMANDS_SIZE];
        entry.position = fMemory.get(RTM_WRITTEN);
        std::memcpy(entry.bytes, &what, 4);
        std::memcpy(entry.bytes + 4, &value, 4);
        fMemory.set(RTM_COMMANDS_WRITTEN, count + 1);
    }

    void hear(const float* const in[INPUTS], const uint32_t frames, const int64_t position)
    {
        into(fMemory.voice, in[0], in[1], fHeard[0], frames, position);
        const float *const left = INPUTS > 2 ? in[INPUTS - 2] : nullptr, *const right = INPUTS > 2 ? in[INPUTS - 1] : nullptr;
        const bool sideChain = left != nullptr && right != nullptr && (sounds(left, frames) || sounds(right, frames));
        fBandEnd = sideChain ? position + frames : fBandEnd;
        if (position - RTM_SOUND_SAMPLES < fBandEnd) // else silence is what the ring holds there
            into(fMemory.band, sideChain ? left : SILENCE, sideChain ? right : SILENCE, fHeard[1], frames, position);
        fMemory.setInOrder(RTM_WRITTEN, position + frames);
    }

    // Whether the engine can do something now that it could not before: what it is woken for once.
    bool isDue(const int64_t written)
    {
        const int64_t due = fMemory.getInOrder(RTM_DUE), commands = fMemory.get(RTM_COMMANDS_WRITTEN);
        if (commands == fToldOf && (written < due || due == fWokenFor))
            return false;
        fToldOf = commands;
        fWokenFor = written < due ? fWokenFor : due;
        return true;
    }

    // The mean of the channels that have held sound, as everywhere in rt-melody: a silent side is no half of a voice.
    static void into(float* const ring, const float* const left, const float* const right, bool heard[2], const uint32_t frames,
                     const int64_t position)
    {
        const uint32_t at = uint32_t(position % RTM_SOUND_SAMPLES), room = RTM_SOUND_SAMPLES - at, first = frames < room ? frames : room;
        if ((!heard[0] && sounds(left, frames)) || (!heard[1] && sounds(right, frames))) {
            for (uint32_t i = 0; i < frames; ++i) { // the one block in which a side begins
                heard[0] |= left[i] != 0.0f;
                heard[1] |= right[i] != 0.0f;
                ring[i < first ? at + i : i - first] = (heard[0] && heard[1] ? 0.5f : 1.0f) * (left[i] + right[i]);
            }
            return;
        }
        const float gain = heard[0] && heard[1] ? 0.5f : 1.0f;
        for (uint32_t i = 0; i < first; ++i)
            ring[at + i] = gain * (left[i] + right[i]);
        for (uint32_t i = first; i < frames; ++i)
            ring[i - first] = gain * (left[i] + right[i]);
    }

    static bool sounds(const float* const channel, const uint32_t frames)
    {
        bool any = false;
        for (uint32_t i = 0; i < frames; ++i)
            any |= channel[i] != 0.0f;
        return any;
    }

    // Whether the host runs ahead of the clock: it bounces, and can wait.
    bool bounces(const int64_t now, const uint32_t frames)
    {
        const double block_s = double(fBlock) / fRate, passed_s = fLastNs == 0 ? 0.0 : 1e-9 * double(now - fLastNs);
        fLead += 0.99 * frames / fRate - passed_s; // a live host whose clock is fast stays live
        const double most_s = 2.0 + 8 * block_s;
        fLead = fLead < -BEHIND_S ? -BEHIND_S : fLead > most_s ? most_s : fLead;
        fLastNs = now;
        const double limit_s = AHEAD_S + 3 * block_s;
        fOffline = fSent[RTM_PARAMETER_FREEWHEEL] > 0.5f || fLead > (fOffline ? limit_s / 2 : limit_s);
        fMemory.set(RTM_OFFLINE, fOffline);
        return fOffline;
    }

    // Until all events before ``position`` are there. Time that passes here is none that the host took.
    void await(const int64_t position)
    {
        const int64_t began = nowNs();
        int64_t seen = fMemory.get(RTM_PROCESSED), changed = began, now = began;
        while (fMemory.get(RTM_PROCESSED) < position && !fKeeper.hopeless() && !fGaveUp) {
            sleepNs(MS / 10);
            now = nowNs();
            if (seen != fMemory.get(RTM_PROCESSED)) {
                seen = fMemory.get(RTM_PROCESSED);
                changed = now;
            } else if (now - changed > GIVE_UP_NS) {
                say("the engine does not answer, so the bounce goes on without it; the notes are not complete");
                fGaveUp = true;
            }
        }
        fGaveUp = fGaveUp && fMemory.get(RTM_PROCESSED) < position;
        fLastNs += now - began;
    }

    // ---- MIDI --------------------------------------------------------------------------------------------------------

    void cut(const uint32_t offset)
    {
        if (fSounding == 0)
            return;
        endNotes(offset);
        fMemory.add(RTM_CUTS, 1);
        command(RTM_COMMAND_END, 0.0f); // an engine that was only late begins the note anew
    }

    void play(const int64_t position, const uint32_t frames, const uint32_t offset)
    {
        const int64_t written = fMemory.get(RTM_EVENTS_WRITTEN);
        int64_t read = fMemory.get(RTM_EVENTS_READ);
        if (written < read || written - read > RTM_EVENTS_SIZE) { // no engine of ours wrote that
            fMemory.add(RTM_EVENTS_BAD, 1);
            read = written < read ? read : written;
        }
        const uint8_t stream = uint8_t(fMemory.get(RTM_STREAM));
        for (; read < written; ++read) {
            const Entry event = fMemory.events[read % RTM_EVENTS_SIZE];
            if (event.bytes[1] != stream)
                continue;
            if (!isMidi(event.bytes) || event.position > position + frames || event.position < fStart) {
                fMemory.add(RTM_EVENTS_BAD, 1);
                continue;
            }
            const int64_t place = event.position + fWait - position;
            if (place >= int64_t(frames))
                break;
            if (place < 0)
                fMemory.add(RTM_EVENTS_LATE, 1);
            if (!pass(offset + uint32_t(place < 0 ? 0 : place), event.bytes))
                break; // the host takes no more in this block
        }
        fMemory.set(RTM_EVENTS_READ, read);
    }

    static bool isMidi(const uint8_t* const entry) // one channel message
    {
        if (entry[2] < 0x80 || entry[2] >= 0xF0)
            return false;
        const bool two = entry[2] >= 0xC0 && entry[2] < 0xE0;
        return entry[0] == (two ? 2 : 3) && entry[3] < 0x80 && (two || entry[4] < 0x80);
    }

    // An event on to the host, but for what bypass holds back and ends of notes that have ended.
    bool pass(const uint32_t frame, const uint8_t* const entry)
    {
        if (fSent[RTM_PARAMETER_BYPASS] > 0.5f)
            return true;
        const uint8_t kind = entry[2] & 0xF0, channel = entry[2] & 0x0F, note = entry[3];
        const bool off = kind == 0x80 || (kind == 0x90 && entry[4] == 0);
        if (off && !fNotes[channel][note])
            return true;
        if (!send(frame, entry[2], entry[3], entry[4], entry[0]))
            return false;
        if (kind == 0x90 || kind == 0x80) {
            fSounding += (off ? 0 : 1) - (fNotes[channel][note] ? 1 : 0);
            fNotes[channel][note] = !off;
        }
        return true;
    }

    void endNotes(const uint32_t frame)
    {
        for (uint8_t channel = 0; fSounding > 0 && channel < 16; ++channel)
            for (uint8_t note = 0; note < 128; ++note)
                if (fNotes[channel][note] && send(frame, uint8_t(0x80 | channel), note, 64, 3)) {
                    fNotes[channel][note] = false;
                    --fSounding;
                }
    }

    bool send(const uint32_t frame, const uint8_t status, const uint8_t first, const uint8_t second, const uint8_t size)
    {
        MidiEvent event;
        fLastFrame = frame > fLastFrame ? frame : fLastFrame;
        event.frame = fLastFrame;
        event.size = size;
        event.data[0] = status;
        event.data[1] = first;
        event.data[2] = second;
        event.data[3] = 0;
        event.dataExt = nullptr;
        return writeMidiEvent(event);
    }

    // ---- sound -------------------------------------------------------------------------------------------------------

    // Sound on to the host, late by what it is told, or at once; where that changes, one fades into the other.
    void through(const float* const in[2], float* const out[2], const uint32_t frames)
    {
        const int64_t mask = int64_t(fPast[0].size()) - 1, before = fDelay, after = fDirect ? 0 : fLatency;
        for (int c = 0; c < 2; ++c)
            for (uint32_t i = 0; i < frames; ++i)
                fPast[c][size_t((fPassed + i) & mask)] = in[c][i];
        for (int c = 0; c < 2; ++c)
            for (uint32_t i = 0; i < frames; ++i) {
                const float old = fPast[c][size_t((fPassed + i - before) & mask)];
                out[c][i] = old;
                if (before != after)
                    out[c][i] += (fPast[c][size_t((fPassed + i - after) & mask)] - old) * float(i + 1) / float(frames);
            }
        fPassed += frames;
        fDelay = after;
    }

private:
    static int64_t bits(const float value)
    {
        uint32_t word;
        std::memcpy(&word, &value, 4);
        return word;
    }

    Memory fMemory;
    Keeper fKeeper; // ends before the memory does
    std::atomic<float> fValues[RTM_PARAMETER_COUNT]; // as the host set them, from any thread
    float fSent[RTM_PARAMETER_COUNT]; // as the engine was told
    double fRate = getSampleRate(), fLead = 0.0;
    int64_t fBlock = getBufferSize(), fWait = 0, fLatency = 0, fStart = 0, fLastNs = 0;
    int64_t fBandEnd = -RTM_SOUND_SAMPLES; // the last of the band that was no silence
    int64_t fWokenFor = -1, fToldOf = 0; // the newest RTM_DUE, and the commands, for which the engine was woken
    bool fHeard[2][2] = {}, fPlaying = false, fOffline = false, fGaveUp = false, fDirect = false, fAnew = false;
    bool fNotes[16][128] = {};
    int fSounding = 0;
    uint32_t fLastFrame = 0;
    std::vector<float> fPast[2]; // the newest sound of either channel
    int64_t fPassed = 1 << 24, fDelay = 0; // beyond the longest delay, so that no place is below 0

    DISTRHO_DECLARE_NON_COPYABLE_WITH_LEAK_DETECTOR(RtMelody)
};

Plugin* createPlugin()
{
    return new RtMelody();
}

END_NAMESPACE_DISTRHO
