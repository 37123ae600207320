-- The plugin in a studio without a screen: it stands on the audio track "voice", a MIDI track records what it plays. The steps of a
-- take wait for the files "take" and "stop" in the folder $STEPS, then the session is saved. Where $BAND is a port of JACK an audio
-- track "band" records it, and the plugin's side-chain hears that track.
-- Where $BOUNCE is set the session $SESSION is loaded instead, bounced under that name once there is a file of it in $STEPS, and
-- saved, transposed by $TRANSPOSE semitones where that is set. One bounce a process, of which nothing else is lost: one in ten ends
-- Ardour 7.3, without any plugin, too, as it lets go of what it wrote with ("free(): invalid pointer").
local ms = 1000  -- LuaAPI.usleep counts microseconds
local source, beside = os.getenv("SOURCE"), os.getenv("BAND")
local steps, folder = os.getenv("STEPS"), os.getenv("SESSION")
local transpose = 4  -- as Ardour counts its parameters
local input, disk, ui = 1, 2, ARDOUR.TransportRequestSource.TRS_UI

local function say(...)
  print(...)
  io.stdout:flush()
end

local function step(name)
  while true do
    local file = io.open(steps .. "/" .. name)
    if file then return file:close() end
    ARDOUR.LuaAPI.usleep(50 * ms)
  end
end

local function last(list)
  local found
  for each in list:iter() do found = each end
  return found
end

local function set(control, value)
  control:set_value(value, PBD.GroupControlDisposition.NoGroup)
end

local function bounce(session, name)
  local export = session:simple_export()
  export:set_folder(folder .. "-" .. name)
  export:set_name(name)
  export:set_range(0, 48000 * tonumber(os.getenv("SECONDS")))
  assert(export:run_export(), "Ardour does not export")
end

assert(AudioEngine:set_backend("JACK", "ardour", ""))
if os.getenv("BOUNCE") then
  local session = assert(load_session(folder, "song"))
  ARDOUR.LuaAPI.usleep(1000 * ms)
  local plugin = session:route_by_name("voice"):nth_plugin(0)
  say("loaded", ARDOUR.LuaAPI.get_processor_param(plugin, transpose, true))
  step(os.getenv("BOUNCE"))
  bounce(session, os.getenv("BOUNCE"))
  local semitones = tonumber(os.getenv("TRANSPOSE"))
  assert(not semitones or ARDOUR.LuaAPI.set_processor_param(plugin, transpose, semitones), "no such parameter")
  session:save_state("")
  say("saved")
  step("never")  -- closing a session that was exported crashes Ardour 7.3 here
end
local session = assert(create_session(folder, "song", 48000))
local one_midi, order = ARDOUR.ChanCount(ARDOUR.DataType("midi"), 1), ARDOUR.PresentationInfo.max_order
local voice = last(session:new_audio_track(1, 2, nil, 1, "voice", order, ARDOUR.TrackMode.Normal, true))
local melody = last(session:new_midi_track(one_midi, one_midi, true, ARDOUR.PluginInfo(), nil, nil, 1, "melody", order,
  ARDOUR.TrackMode.Normal, true))
local band = beside and last(session:new_audio_track(1, 2, nil, 1, "band", order, ARDOUR.TrackMode.Normal, true))
local plugin = ARDOUR.LuaAPI.new_plugin(session, "urn:rt-melody:voice-to-midi", ARDOUR.PluginType.LV2, "")
assert(not plugin:isnil(), "Ardour does not find the plugin")
assert(voice:add_processor_by_index(plugin, 0, nil, true) == 0)
assert(voice:output():n_ports():n_midi() == 1, "the plugin's MIDI does not leave the track")
ARDOUR.LuaAPI.usleep(500 * ms)
assert(voice:input():audio(0):connect(source) == 0, "no such port: " .. source)
assert(melody:input():midi(0):connect(voice:output():midi(0):name()) == 0)
if band then
  assert(voice:add_sidechain(plugin), "the plugin takes no side-chain")
  assert(band:input():audio(0):connect(beside) == 0, "no such port: " .. beside)
  local heard = plugin:to_plugininsert():sidechain_input()
  say("sidechain", heard:n_ports():n_audio())
  for n = 0, heard:n_ports():n_audio() - 1 do
    assert(heard:audio(n):connect(band:output():audio(n):name()) == 0)
  end
  set(band:monitoring_control(), input)
  set(band:to_track():rec_enable_control(), 1)
end
set(voice:monitoring_control(), input)
set(voice:to_track():rec_enable_control(), 1)
set(melody:to_track():rec_enable_control(), 1)
say("standing")

step("take")
say("latency", plugin:to_insert():signal_latency())
session:maybe_enable_record(false)
session:request_roll(ui)
while not (session:actively_recording() and session:transport_rolling()) do ARDOUR.LuaAPI.usleep(50 * ms) end
say("recording")
step("stop")
session:request_stop(false, false, ui)
ARDOUR.LuaAPI.usleep(1500 * ms)
set(voice:to_track():rec_enable_control(), 0)
set(melody:to_track():rec_enable_control(), 0)
set(voice:monitoring_control(), disk)
if band then
  set(band:to_track():rec_enable_control(), 0)
  set(band:monitoring_control(), disk)
  -- Ardour plays the band to the side-chain later than the voice by the plugin's own latency, which it does not count there.
  local late = plugin:to_insert():signal_latency()
  for region in voice:to_track():playlist():region_list():iter() do
    region:set_position(Temporal.timepos_t(region:position():samples() + late))
  end
end
ARDOUR.LuaAPI.usleep(1000 * ms)  -- what was set takes hold in another thread
session:save_state("")
say("taken")
step("never")
