// A small LV2 host for the plugin, linked with it, so that sanitizers see both: plays a recording through run() and tells what
// came out and what run() took.
//
//   plugin_host SOUND.f32 RATE BLOCK SECONDS PACE [PORT=VALUE ...]
//
// SOUND.f32: mono float32, repeated. PACE: 1 at the clock's pace, 0 as fast as may be. PORT=VALUE: a control port by its number.
// On stdout, a line each: `midi SAMPLE NS BYTE BYTE BYTE` for each message, and at the end `run` with the nanoseconds of each call.
// `allocations N`: how often run() reached the allocator.

#include "memory.h"
#include "src/lv2/atom.h"
#include "src/lv2/atom-util.h"
#include "src/lv2/buf-size.h"
#include "src/lv2/lv2.h"
#include "src/lv2/midi.h"
#include "src/lv2/options.h"
#include "src/lv2/urid.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <string>
#include <vector>

#include <sched.h>

static thread_local bool inRun = false;
static std::atomic<int> allocations{0};

#ifdef COUNT_ALLOCATIONS // by the names that glibc keeps for whoever takes the usual ones
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void __libc_free(void*);
void* malloc(size_t n) { allocations += inRun; return __libc_malloc(n); }
void* calloc(size_t a, size_t b) { allocations += inRun; return __libc_calloc(a, b); }
void* realloc(void* p, size_t n) { allocations += inRun; return __libc_realloc(p, n); }
void free(void* p) { allocations += inRun; __libc_free(p); }
}
#endif

extern "C" const LV2_Descriptor* lv2_descriptor(uint32_t);

static std::map<std::string, uint32_t> urids;

static LV2_URID map(LV2_URID_Map_Handle, const char* uri)
{
    return urids.emplace(uri, uint32_t(urids.size() + 1)).first->second;
}

static int64_t nowNs()
{
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

struct Buffer { // of an atom port
    LV2_Atom_Sequence sequence;
    char room[65536];
};

int main(int count, char** words)
{
    if (count < 6)
        return std::fprintf(stderr, "plugin_host SOUND.f32 RATE BLOCK SECONDS PACE [PORT=VALUE ...]\n"), 2;
    std::vector<float> sound(1 << 24);
    FILE* const file = std::fopen(words[1], "rb");
    sound.resize(file == nullptr ? 0 : std::fread(sound.data(), 4, sound.size(), file));
    const double rate = std::atof(words[2]), seconds = std::atof(words[4]);
    const int32_t block = std::atoi(words[3]);
    const bool paced = std::atoi(words[5]) != 0;
    if (sound.empty() || rate < 1 || block < 1)
        return std::fprintf(stderr, "plugin_host: no sound, or no rate\n"), 2;

    LV2_URID_Map mapping = {nullptr, map};
    const LV2_URID integer = map(nullptr, LV2_ATOM__Int), midi = map(nullptr, LV2_MIDI__MidiEvent), chunk = map(nullptr, LV2_ATOM__Chunk);
    const LV2_Options_Option options[] = {
        {LV2_OPTIONS_INSTANCE, 0, map(nullptr, LV2_BUF_SIZE__maxBlockLength), sizeof(int32_t), integer, &block},
        {LV2_OPTIONS_INSTANCE, 0, 0, 0, 0, nullptr}};
    const LV2_Feature f[] = {{LV2_URID__map, &mapping}, {LV2_OPTIONS__options, const_cast<LV2_Options_Option*>(options)},
                             {LV2_BUF_SIZE__boundedBlockLength, nullptr}};
    const LV2_Feature* const features[] = {&f[0], &f[1], &f[2], nullptr};
    const LV2_Descriptor* const plugin = lv2_descriptor(0);
    const LV2_Handle handle = plugin->instantiate(plugin, rate, "", features);

    std::vector<float> in(block), silence(block), out[2] = {std::vector<float>(block), std::vector<float>(block)};
    static Buffer eventsIn, eventsOut;
    static float controls[64];
    const float usual[RTM_PARAMETER_COUNT] = {1, 0, 0, 0, 0, 0, 100, 0, -45, 50, 0, 127}; // the first is LV2's "enabled"
    for (int i = 0; i < RTM_PARAMETER_COUNT; ++i)
        controls[9 + i] = usual[i];
    for (int i = 6; i < count; ++i)
        if (const char* const sign = std::strchr(words[i], '='))
            controls[std::atoi(words[i]) & 63] = float(std::atof(sign + 1));
    void* const ports[] = {in.data(), in.data(), silence.data(), silence.data(), out[0].data(), out[1].data(), &eventsIn, &eventsOut};
    for (uint32_t i = 0; i < 8; ++i)
        plugin->connect_port(handle, i, ports[i]);
    for (uint32_t i = 8; i < 9 + RTM_PARAMETER_COUNT; ++i)
        plugin->connect_port(handle, i, controls + i);
    plugin->activate(handle);

    const sched_param priority = {70}; // as an audio thread
    if (paced && sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &priority) != 0)
        std::fprintf(stderr, "plugin_host: no real-time priority\n");
    std::vector<int64_t> took;
    took.reserve(size_t(seconds * rate / block) + 1);
    const int64_t began = nowNs();
    size_t at = 0;
    for (int64_t position = 0; position < seconds * rate; position += block) {
        for (int32_t i = 0; i < block; ++i, at = at + 1 == sound.size() ? 0 : at + 1)
            in[i] = sound[at];
        eventsIn.sequence.atom = {sizeof(LV2_Atom_Sequence_Body), map(nullptr, LV2_ATOM__Sequence)};
        eventsOut.sequence.atom = {sizeof eventsOut.room, chunk};
        const int64_t before = nowNs();
        inRun = true;
        plugin->run(handle, block);
        inRun = false;
        took.push_back(nowNs() - before);
        LV2_ATOM_SEQUENCE_FOREACH(&eventsOut.sequence, event)
        {
            if (eventsOut.sequence.atom.type == chunk)
                break; // DPF leaves alone what it has nothing to write to
            const uint8_t* const data = reinterpret_cast<const uint8_t*>(event + 1);
            if (event->body.type == midi)
                std::printf("midi %lld %lld %d %d %d\n", (long long)(position + event->time.frames), (long long)nowNs(), data[0],
                            event->body.size > 1 ? data[1] : 0, event->body.size > 2 ? data[2] : 0);
        }
        std::fflush(stdout);
        const int64_t due = began + int64_t(1e9 * double(position + block) / rate);
        const timespec until = {time_t(due / 1000000000), long(due % 1000000000)};
        if (paced)
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
    }
    std::printf("latency %g\nallocations %d\nrun", controls[8], allocations.load());
    for (const int64_t ns : took)
        std::printf(" %lld", (long long)ns);
    std::printf("\n");
    plugin->deactivate(handle);
    plugin->cleanup(handle);
    return 0;
}
