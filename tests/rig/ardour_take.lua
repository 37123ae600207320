-- A studio without a screen: Ardour makes a session on JACK, arms one MIDI track, records what the port $SOURCE
-- plays until the file $STOP exists, and saves the take in the folder $SESSION.
local ms = 1000  -- LuaAPI.usleep counts microseconds
local source, stop, folder = os.getenv("SOURCE"), os.getenv("STOP"), os.getenv("SESSION")

local function say(word)
  io.stdout:write(word, "\n")
  io.stdout:flush()
end

local function exists(path)
  local file = io.open(path)
  if file then file:close() end
  return file ~= nil
end

assert(AudioEngine:set_backend("JACK", "ardour", ""))
local session = assert(create_session(folder, "take", 48000))
local one_midi = ARDOUR.ChanCount(ARDOUR.DataType("midi"), 1)
local tracks = session:new_midi_track(one_midi, one_midi, true, ARDOUR.PluginInfo(), nil, nil, 1, "melody",
  ARDOUR.PresentationInfo.max_order, ARDOUR.TrackMode.Normal, true)
local track
for each in tracks:iter() do track = each end
track:to_track():rec_enable_control():set_value(1, PBD.GroupControlDisposition.NoGroup)
ARDOUR.LuaAPI.usleep(300 * ms)
assert(track:input():midi(0):connect(source) == 0, "no such port: " .. source)
session:maybe_enable_record(false)
session:request_roll(ARDOUR.TransportRequestSource.TRS_UI)
for _ = 1, 100 do
  if session:actively_recording() and session:transport_rolling() then break end
  ARDOUR.LuaAPI.usleep(50 * ms)
end
assert(session:actively_recording(), "Ardour does not record")
say("recording")
while not exists(stop) do ARDOUR.LuaAPI.usleep(50 * ms) end
session:request_stop(false, false, ARDOUR.TransportRequestSource.TRS_UI)
ARDOUR.LuaAPI.usleep(1500 * ms)
session:save_state("")
say("saved")
close_session()
quit()
