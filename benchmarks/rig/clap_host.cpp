// A small CLAP host for the plugin: plays a recording through it, as fast as may be, and tells what came out.
//
//   clap_host PLUGIN.clap SOUND.f32 BAND.f32|- RATE BLOCK [PARAMETER=VALUE ...]
//   clap_host PLUGIN.clap OTHER.clap [PARAMETER=VALUE ...]
//
// SOUND.f32, BAND.f32: mono float32; the band goes to the side-chain. The parameters are set in one instance; its state goes to
// another, which plays. On stdout, a line each: `ports N...` channels of each audio input, `midi SAMPLE BYTE BYTE BYTE`,
// `latency SAMPLES`, and `through WORST`: how far the sound that came out is from what went in, late by the latency. With OTHER the
// parameters are set in an instance of that, nothing is played, and a line is `parameter N VALUE`, as they are in PLUGIN.

#include "src/clap/entry.h"
#include "src/clap/ext/audio-ports.h"
#include "src/clap/ext/latency.h"
#include "src/clap/ext/params.h"
#include "src/clap/ext/state.h"
#include "src/clap/plugin-factory.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <dlfcn.h>

static const clap_host_latency_t LATENCY = {[](const clap_host_t*) {}}; // DPF 1.6 needs a host that has it
static const clap_host_t HOST = {
    CLAP_VERSION_INIT, nullptr, "clap_host", "rt-melody", "", "0",
    [](const clap_host_t*, const char* id) -> const void* { return std::strcmp(id, CLAP_EXT_LATENCY) == 0 ? &LATENCY : nullptr; },
    [](const clap_host_t*) {}, [](const clap_host_t*) {}, [](const clap_host_t*) {}};

static std::vector<float> readAll(const char* const path)
{
    std::vector<float> sound(1 << 24);
    FILE* const file = std::fopen(path, "rb");
    sound.resize(file == nullptr ? 0 : std::fread(sound.data(), 4, sound.size(), file));
    return sound;
}

static int64_t writeState(const clap_ostream_t* const stream, const void* const data, const uint64_t size)
{
    static_cast<std::string*>(stream->ctx)->append(static_cast<const char*>(data), size);
    return int64_t(size);
}

static int64_t readState(const clap_istream_t* const stream, void* const data, const uint64_t size)
{
    std::string& left = *static_cast<std::string*>(stream->ctx);
    const uint64_t count = std::min<uint64_t>(size, left.size());
    std::memcpy(data, left.data(), count);
    left.erase(0, count);
    return int64_t(count);
}

static const clap_event_midi* asMidi(const clap_event_header_t* const event)
{
    return event->space_id == CLAP_CORE_EVENT_SPACE_ID && event->type == CLAP_EVENT_MIDI ? reinterpret_cast<const clap_event_midi*>(event)
                                                                                        : nullptr;
}

static std::vector<clap_event_param_value> changes; // of parameters, for the next block

static const clap_input_events_t CHANGES = {
    nullptr, [](const clap_input_events_t*) { return uint32_t(changes.size()); },
    [](const clap_input_events_t*, const uint32_t i) -> const clap_event_header_t* { return &changes[i].header; }};

static int64_t position; // of the block

static const clap_output_events_t EVENTS = {
    nullptr, [](const clap_output_events_t*, const clap_event_header_t* const event) {
        if (const clap_event_midi* const midi = asMidi(event))
            std::printf("midi %lld %d %d %d\n", (long long)(position + event->time), midi->data[0], midi->data[1], midi->data[2]);
        return true;
    }};

template<class Extension> static const Extension* extension(const clap_plugin_t* const plugin, const char* const id)
{
    const void* const found = plugin->get_extension(plugin, id);
    if (found == nullptr)
        std::exit((std::fprintf(stderr, "clap_host: the plugin has no %s\n", id), 1));
    return static_cast<const Extension*>(found);
}

static const clap_plugin_t* instance(const clap_plugin_factory_t* const factory)
{
    const clap_plugin_t* const plugin = factory->create_plugin(factory, &HOST, factory->get_plugin_descriptor(factory, 0)->id);
    if (plugin == nullptr || !plugin->init(plugin))
        std::exit((std::fprintf(stderr, "clap_host: no instance can be had\n"), 1));
    return plugin;
}

// The state of an instance with these parameters set.
static std::string stateOf(const clap_plugin_factory_t* const factory, char** const words, const int count)
{
    for (int i = 0; i < count; ++i)
        if (const char* const sign = std::strchr(words[i], '='))
            changes.push_back({{sizeof(clap_event_param_value), 0, CLAP_CORE_EVENT_SPACE_ID, CLAP_EVENT_PARAM_VALUE, 0},
                               clap_id(std::atoi(words[i])), nullptr, -1, -1, -1, -1, std::atof(sign + 1)});
    std::string state;
    const clap_ostream_t to = {&state, writeState};
    const clap_plugin_t* const plugin = instance(factory);
    extension<clap_plugin_params_t>(plugin, CLAP_EXT_PARAMS)->flush(plugin, &CHANGES, &EVENTS);
    extension<clap_plugin_state_t>(plugin, CLAP_EXT_STATE)->save(plugin, &to);
    plugin->destroy(plugin);
    changes.clear();
    return state;
}

static void tellPorts(const clap_plugin_t* const plugin)
{
    const clap_plugin_audio_ports_t* const ports = extension<clap_plugin_audio_ports_t>(plugin, CLAP_EXT_AUDIO_PORTS);
    std::printf("ports");
    for (uint32_t i = 0; i < ports->count(plugin, true); ++i) {
        clap_audio_port_info_t info = {};
        ports->get(plugin, i, true, &info);
        std::printf(" %u", info.channel_count);
    }
    std::printf("\n");
}

// One block of the voice and the band; what comes out, on the left.
static void block(const clap_plugin_t* const plugin, const float* const voice, const float* const band, const uint32_t frames, float* const left)
{
    std::vector<float> right(frames);
    float* const in[4] = {const_cast<float*>(voice), const_cast<float*>(voice), const_cast<float*>(band), const_cast<float*>(band)};
    float* out[2] = {left, right.data()};
    const clap_audio_buffer_t from[2] = {{const_cast<float**>(in), nullptr, 2, 0, 0}, {const_cast<float**>(in) + 2, nullptr, 2, 0, 0}};
    clap_audio_buffer_t to = {out, nullptr, 2, 0, 0};
    const clap_process_t process = {position, frames, nullptr, from, &to, 2, 1, &CHANGES, &EVENTS};
    if (plugin->process(plugin, &process) == CLAP_PROCESS_ERROR)
        std::exit((std::fprintf(stderr, "clap_host: the plugin could not process a block\n"), 1));
}

static void play(const clap_plugin_t* const plugin, const std::vector<float>& voice, std::vector<float> band, const size_t most)
{
    std::vector<float> heard(voice.size());
    band.resize(voice.size());
    for (position = 0; size_t(position) < voice.size(); position += most)
        block(plugin, &voice[position], &band[position], uint32_t(std::min(most, voice.size() - position)), &heard[position]);
    const uint32_t latency = extension<clap_plugin_latency_t>(plugin, CLAP_EXT_LATENCY)->get(plugin);
    float worst = 0.0f;
    for (size_t i = 0; i < heard.size(); ++i)
        worst = std::max(worst, std::fabs(heard[i] - (i < latency ? 0.0f : voice[i - latency])));
    std::printf("latency %u\nthrough %g\n", latency, worst);
}

static const clap_plugin_entry_t* entryOf(const char* const path)
{
    void* const code = dlopen(path, RTLD_NOW);
    const auto* const entry = code == nullptr ? nullptr : static_cast<const clap_plugin_entry_t*>(dlsym(code, "clap_entry"));
    if (entry == nullptr || !entry->init(path))
        std::exit((std::fprintf(stderr, "clap_host: %s is no CLAP plugin\n", path), 2));
    return entry;
}

static const clap_plugin_factory_t* factoryOf(const clap_plugin_entry_t* const entry)
{
    return static_cast<const clap_plugin_factory_t*>(entry->get_factory(CLAP_PLUGIN_FACTORY_ID));
}

static void tellParameters(const clap_plugin_t* const plugin)
{
    const clap_plugin_params_t* const params = extension<clap_plugin_params_t>(plugin, CLAP_EXT_PARAMS);
    for (uint32_t i = 0; i < params->count(plugin); ++i) {
        clap_param_info_t info = {};
        double value = 0.0;
        if (params->get_info(plugin, i, &info) && params->get_value(plugin, info.id, &value))
            std::printf("parameter %u %g\n", info.id, value);
    }
}

int main(int count, char** words)
{
    const char* const ending = count > 2 ? std::strrchr(words[2], '.') : nullptr;
    const bool other = ending != nullptr && std::strcmp(ending, ".clap") == 0;
    if (!other && count < 6)
        return std::fprintf(stderr, "clap_host PLUGIN.clap SOUND.f32 BAND.f32|- RATE BLOCK | OTHER.clap [PARAMETER=VALUE ...]\n"), 2;
    const clap_plugin_entry_t *const entry = entryOf(words[1]), *const before = other ? entryOf(words[2]) : entry;
    const int set = other ? 3 : 6;
    std::string state = stateOf(factoryOf(before), words + set, count - set);
    const clap_istream_t from = {&state, readState};
    const clap_plugin_t* const plugin = instance(factoryOf(entry));
    if (!extension<clap_plugin_state_t>(plugin, CLAP_EXT_STATE)->load(plugin, &from))
        return std::fprintf(stderr, "clap_host: the plugin does not take the state\n"), 1;
    if (other)
        return tellParameters(plugin), plugin->destroy(plugin), 0;
    tellPorts(plugin);
    const uint32_t most = uint32_t(std::atoi(words[5]));
    plugin->activate(plugin, std::atof(words[4]), 1, most);
    plugin->start_processing(plugin);
    play(plugin, readAll(words[2]), readAll(words[3]), most);
    plugin->stop_processing(plugin);
    plugin->deactivate(plugin);
    plugin->destroy(plugin);
    entry->deinit();
    return 0;
}
