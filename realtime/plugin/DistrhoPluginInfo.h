/* What DPF asks of a plugin: names, ports, and which of its parts are used. */
#ifndef DISTRHO_PLUGIN_INFO_H_INCLUDED
#define DISTRHO_PLUGIN_INFO_H_INCLUDED

#define DISTRHO_PLUGIN_BRAND "rt-melody"
#define DISTRHO_PLUGIN_NAME "rt-melody"
#define DISTRHO_PLUGIN_URI "urn:rt-melody:voice-to-midi"
#define DISTRHO_PLUGIN_CLAP_ID "rt-melody.voice-to-midi"

#define DISTRHO_PLUGIN_HAS_UI 0
#define DISTRHO_PLUGIN_IS_RT_SAFE 1
#ifdef DISTRHO_PLUGIN_TARGET_VST3
# define DISTRHO_PLUGIN_NUM_INPUTS 2 /* DPF 1.6 passes nothing of a second bus on: a side-chain would be deaf */
#else
# define DISTRHO_PLUGIN_NUM_INPUTS 4 /* with a side-chain */
#endif
#define DISTRHO_PLUGIN_NUM_OUTPUTS 2
#define DISTRHO_PLUGIN_WANT_LATENCY 1
#define DISTRHO_PLUGIN_WANT_MIDI_INPUT 0
#define DISTRHO_PLUGIN_WANT_MIDI_OUTPUT 1
#ifdef DISTRHO_PLUGIN_TARGET_CLAP
# define DISTRHO_PLUGIN_WANT_STATE 1 /* there is none but the parameters, which DPF's CLAP saves with it alone */
#endif
#define DISTRHO_PLUGIN_WANT_TIMEPOS 1
#define DISTRHO_PLUGIN_LV2_CATEGORY "lv2:AnalyserPlugin"
#define DISTRHO_PLUGIN_VST3_CATEGORIES "Fx|Analyzer|Stereo"
#define DISTRHO_PLUGIN_CLAP_FEATURES "audio-effect", "analyzer", "note-detector"

#endif
