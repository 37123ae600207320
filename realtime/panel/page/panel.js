// The panel's page: shows the state that comes over the socket, and sends what is asked for. No text of others is ever markup: textContent alone.
"use strict";

const $ = (id) => document.getElementById(id);
const NAMES = ["C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"];
const PLAIN = ["C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"];
const FLOOR_DB = -80, SILENT_DB = -115, WINDOW_S = 8, KEEP_S = 14, BINS_PER_SEMITONE = 5, LOWEST_BIN = 33;

const shown = { state: { state: "loading" }, orders: {}, settings: {}, controls: null, devices: { inputs: [], outputs: [], midi: [] }, takes: { all: [], now: null }, said: [], alerts: [], figures: null, scale: [], key: null, profiles: [], setup: null, trip: null };
let frames = [], notes = [], heat = [], newest = 0, arrived = -Infinity, socket = null, offset = null;

// ---- the socket -------------------------------------------------------------------------------

function connect() {
  socket = new WebSocket(`ws://${location.host}/socket`);
  socket.onmessage = (message) => take(JSON.parse(message.data));
  socket.onclose = () => { show("lost"); setTimeout(connect, 1000); };
}
function send(message) { // whether it was sent
  const open = socket && socket.readyState === 1;
  if (open) socket.send(JSON.stringify(message));
  else refuse("Nothing was changed, since the program does not answer. To silence an instrument, use its own panic button.");
  return open;
}
const set = (name, value) => send({ set: [name, value] });

function take(told) {
  if (told.whole) { past = null; frames = []; notes = []; heat = []; newest = 0; offset = null; }
  if (told.frames) addFrames(told.frames);
  for (const event of told.events || []) addEvent(event);
  if (told.posterior) addHeat(told.posterior);
  if (told.refused) refuse(told.refused); // what this page alone has asked for
  for (const name of Object.keys(shown)) if (name in told) { const before = shown[name]; shown[name] = told[name]; refresh(name, before); }
}

function addFrames(rows) {
  if (!rows.length) return;
  for (const row of rows) frames.push(row);
  newest = frames[frames.length - 1][0];
  const now = performance.now() / 1000, ahead = newest - now;
  offset = offset === null || Math.abs(ahead - offset) > 0.3 ? ahead : offset + 0.05 * (ahead - offset);
  arrived = now;
  if (frames.length > 4000) frames = frames.filter((f) => f[0] > newest - KEEP_S);
  if (heat.length > 800) heat = heat.filter((h) => h.at > newest - KEEP_S);
  if (notes.length > 400) notes = notes.filter((n) => n.off === null || n.off > newest - KEEP_S);
}
function addEvent([kind, at, note, value, pitch]) {
  const last = notes.findLast((n) => n.note === note && n.off === null);
  if (kind === "on") for (const held of notes.filter((n) => n.off === null).slice(0, -1)) held.off = at; // a voice slurs two notes at most: the end of this one was lost
  if (kind === "on") notes.push({ on: at, off: null, note, velocity: value, bends: [[at, pitch]] });
  else if (last && kind === "off") last.off = Math.max(at, last.on);
  else if (last) last.bends.push([at, note + value]);
  if (kind === "on") announceNote(note);
}
function addHeat([at, coded, shift]) {
  if (heat.length && at - heat[heat.length - 1].at < 0.035) return;
  const bytes = atob(coded), cells = [];
  for (let bin = 0; bin < bytes.length; bin += 2) {
    const value = Math.max(bytes.charCodeAt(bin), bytes.charCodeAt(bin + 1) || 0);
    if (value > 7) cells.push([LOWEST_BIN + (bin + 0.5) / BINS_PER_SEMITONE + shift, value / 255]);
  }
  heat.push({ at, cells });
}

// ---- what is said -----------------------------------------------------------------------------

let spokenNote = 0;
function announceNote(note) {
  const now = performance.now();
  if (now - spokenNote > 1200) { spokenNote = now; $("live").textContent = spoken(note); }
}
const spoken = (note) => `${NAMES[note % 12].replace("♯", " sharp").replace("♭", " flat")} ${Math.floor(note / 12) - 1}`;
const named = (note) => `${NAMES[((note % 12) + 12) % 12]}${Math.floor(note / 12) - 1}`;

let alerted = null; // the number of the newest alert that this page knows
function toast(text) { // below what is being read still, each a line of its own: a screen reader says the new one alone
  const all = $("toast"), one = element("span", { textContent: text });
  for (const other of [...all.children]) if (other.textContent === text) other.remove();
  all.append(one);
  while (all.children.length > 6) all.firstChild.remove();
  all.hidden = false;
  setTimeout(() => { one.remove(); if (!all.children.length) all.hidden = true; }, Math.max(6000, 60 * text.length));
}
function showAlerts() {
  const newest = shown.alerts.length ? shown.alerts[shown.alerts.length - 1][0] : 0;
  if (newest < alerted) alerted = 0; // of a program that was started anew
  if (alerted !== null) for (const [number, text] of shown.alerts) if (number > alerted) toast(text);
  alerted = newest;
}

// What did not fit is not left standing in its control.
function refuse(text) {
  toast(text.replace(/^\w+(?= )/, (name) => LABELS[name] || name));
  for (const input of document.querySelectorAll("#controls input, #controls select")) input.touched = -Infinity;
  fillControls();
}

// ---- parts of the state -----------------------------------------------------------------------

function refresh(name, before) {
  if (name === "controls") makeControls();
  else if (name === "settings" || name === "devices" || name === "profiles") { fillControls(); fillOutputs(); }
  else if (name === "state" || name === "orders") { showState(); fillControls(); }
  else if (name === "setup") showSetup(before);
  else if (name === "trip") showTrip();
  else if (name === "takes") showTakes();
  else if (name === "figures") showFigures();
  else if (name === "alerts") showAlerts();
  else if (name === "said") {
    $("said").replaceChildren(...shown.said.slice(-4).map((text) => element("li", { textContent: text })));
  }
}

function show(kind) {
  const state = shown.state, paused = kind === "listening" && shown.orders.paused;
  const words = { loading: state.preparing ? "preparing…" : "loading…", listening: state.source ? `listening: ${state.source}` : "listening", stopped: "stopped", lost: "the program has ended" };
  const pill = $("state"), text = paused ? "paused: nothing is played" : words[kind] || kind;
  pill.dataset.state = paused ? "paused" : kind;
  if (pill.title !== seen(text)) { put("state-text", text); pill.title = seen(text); put("live", text); }
  const hints = {
    loading: state.preparing ? `Preparing for this machine, ${state.preparing}. It takes up to a minute; then you can sing.` : "Loading: a few seconds.", stopped: "Press Start and sing. No microphone at hand? Press Demo: the program sings to itself.",
    lost: "The program has ended. Start rt-melody again: at the same address this page finds it.",
  };
  $("hint").hidden = !(kind in hints) || (kind === "loading" && frames.length > 0 && !state.preparing) || !!shown.setup || !$("trip").hidden;
  $("hint").classList.toggle("aside", frames.length > 0); // what was sung is not covered
  const trouble = kind === "stopped" && state.trouble ? state.trouble[0].toUpperCase() + state.trouble.slice(1) + ". " : "";
  put("hint-text", trouble + (hints[kind] || ""));
}
function showState() {
  const kind = shown.state.state, runs = shown.orders.running !== false && kind !== "stopped";
  show(kind);
  $("run").querySelector(".label").textContent = runs ? "Stop" : "Start";
  $("run").classList.toggle("main", !runs);
  $("pause").setAttribute("aria-pressed", String(!!shown.orders.paused));
  $("outputs").replaceChildren(...(shown.state.outputs || []).map((text) => element("li", { textContent: text })));
  drawLatency();
}

// ---- the setup: the singer is asked for five things ---------------------------------------------

function uncover(id, there, opener) { // a dialog, which gives the focus back to what opened it
  const gives = !there && $(id).contains(document.activeElement);
  $(id).hidden = !there;
  if (gives) $(opener).focus();
}
function showSetup(before) {
  const setup = shown.setup;
  uncover("setup", !!setup && $("trip").hidden, "fit");
  show(shown.state.state);
  if (!setup) return;
  const asks = "ask" in setup, found = "lines" in setup;
  const text = asks ? setup.ask : found ? "This fits your voice:" : "That did not work.";
  $("setup-ask").textContent = text;
  $("setup-note").textContent = asks ? (setup.again ? "Nothing was heard of that: come closer, or sing up. Once more." : "Nothing is played meanwhile.") : found ? "" : setup.failed;
  if (asks && (!before || before.ask !== setup.ask || before.again !== setup.again)) $("live").textContent = text;
  if (!asks) $("live").textContent = [text, ...(setup.lines || [setup.failed])].join(" ");
  const parts = asks ? Array.from({ length: setup.of }, (_, i) => (i + 1 < setup.number ? 1 : i + 1 > setup.number ? 0 : Math.min(1, setup.part))) : [];
  $("setup").querySelector(".steps").replaceChildren(...parts.map((part) => { const step = element("span"), bar = element("b"); bar.style.transform = `scaleX(${part})`; step.append(bar); return step; }));
  $("setup-lines").replaceChildren(...(setup.lines || []).map((line) => element("li", { textContent: line })));
  for (const [id, there] of [["setup-as", found], ["setup-keep", found], ["setup-again", !asks]]) $(id).hidden = !there;
  $("setup-leave").textContent = asks ? "Cancel" : found ? "Throw away" : "Close";
  if (found && before && "ask" in before) $("setup-keep").focus();
}
function beginSetup() {
  openTrip(false); // there is room for one
  if (shown.settings.input[0] !== "mic") set("input", ["mic"]);
  send({ run: true, setup: true });
  if (matchMedia("(max-width: 66rem)").matches) $("setup").parentElement.scrollIntoView();
}
$("setup-keep").addEventListener("click", () => send({ keep: $("setup-name").value }));
$("setup-name").addEventListener("keydown", (event) => { if (event.key === "Enter") send({ keep: $("setup-name").value }); });
$("setup-again").addEventListener("click", beginSetup);
$("setup-leave").addEventListener("click", () => send({ setup: false }));

// ---- the round trip -----------------------------------------------------------------------------

let tripOpen = false;
function openTrip(open) {
  tripOpen = open;
  if (!open && shown.trip) send({ trip: null });
  showTrip();
  if (open) { $("trip-go").focus(); if (matchMedia("(max-width: 66rem)").matches) $("trip").parentElement.scrollIntoView(); }
}
function showTrip() {
  const trip = shown.trip, measuring = !!trip && "measuring" in trip, there = tripOpen || !!trip;
  uncover("trip", there, "measure");
  uncover("setup", !!shown.setup && !there, "fit");
  show(shown.state.state);
  $("trip-go").disabled = measuring;
  $("trip-go").textContent = measuring ? "Listening…" : trip ? "Once more" : "Measure";
  put("trip-said", !trip ? "" : measuring ? "Chirps are played." : trip.said || `That did not work: ${trip.failed}.`);
}
function fillOutputs() {
  const found = shown.devices.outputs.map(([index, text, first]) => [index, text, first]), key = JSON.stringify(found), select = $("trip-output");
  if (select.dataset.key === key) return;
  select.dataset.key = key;
  select.replaceChildren(...found.map(([value, textContent]) => element("option", { value: String(value), textContent })));
  const usual = found.find(([, , first]) => first);
  if (usual) select.value = String(usual[0]);
}
$("trip-go").addEventListener("click", () => { if ($("trip-output").value) send({ trip: Number($("trip-output").value) }); else put("trip-said", "There is no output to play by. Plug one in, and look for devices again (↻)."); });
$("trip-leave").addEventListener("click", () => openTrip(false));

function showFigures() {
  const f = shown.figures, state = shown.state;
  if (!f) return;
  const load = state.hop_ms ? (100 * f.work_ms.median) / state.hop_ms : 0;
  const cells = [
    ["Sound to pitch", state.total_ms ? `${Math.round(state.total_ms)} ms` : "–"], ["Added here", f.lateness_ms ? `${f.lateness_ms.median.toFixed(1)} ms` : "–"],
    ["Load", `${load.toFixed(0)} %`], ["Late hops", `${f.deadlines_missed} of ${f.turns}`], ["Skips", String(f.skips)], ["Memory", f.memory_mb ? `${f.memory_mb.toFixed(0)} MB` : "–"],
  ];
  $("figures").replaceChildren(...cells.map(([name, value]) => {
    const cell = element("div");
    cell.append(element("dt", { textContent: name }), element("dd", { textContent: value }));
    return cell;
  }));
  drawLatency();
}

// ---- takes ------------------------------------------------------------------------------------

function showTakes() {
  const { all, now } = shown.takes;
  $("record").setAttribute("aria-pressed", String(!!now));
  $("record").querySelector(".label").textContent = now ? `Stop ${clock(now.seconds)}` : "Record";
  $("no-takes").hidden = all.length > 0;
  const list = $("takes"), there = new Map([...list.children].map((li) => [Number(li.dataset.number), li]));
  const lis = [...all].reverse().map((take) => {
    const li = there.get(take.number) || makeTake(take.number);
    there.delete(take.number);
    return [li, take];
  });
  for (const li of there.values()) {
    const next = li.nextElementSibling || li.previousElementSibling; // the keyboard goes on where it was
    if (li.contains(document.activeElement)) (next ? next.querySelector("button") : $("record")).focus();
    li.remove();
  }
  lis.forEach(([li, take], i) => {
    if (list.children[i] !== li) list.insertBefore(li, list.children[i] || null); // what is moved loses the focus
    fillTake(li, take);
  });
}
function makeTake(number) {
  const li = element("li"), name = element("input", { type: "text", maxLength: 60 }), about = element("p", { className: "about" });
  li.dataset.number = number;
  name.addEventListener("change", () => {
    name.value = name.value.trim().replace(/\s+/g, " ") || shown.takes.all.find((take) => take.number === number)?.name || ""; // it always has one
    if (!name.value) return; // but for one that is gone
    send({ rename: [number, name.value] });
  });
  name.addEventListener("keydown", (event) => { if (event.key === "Enter" && !event.isComposing) name.blur(); }); // single keys are shortcuts again
  const middle = element("div");
  middle.append(name, about);
  li.append(element("canvas", { ariaHidden: "true" }), middle, element("div", { className: "get" }));
  return li;
}
const ASKED_MS = 4000;
function fillTake(li, take) {
  const name = li.querySelector("input"), get = li.querySelector(".get"), key = take.kinds.join() + take.name;
  if (document.activeElement !== name) name.value = take.name;
  name.setAttribute("aria-label", `Name of take ${take.number}`);
  li.querySelector(".about").textContent = `${clock(take.seconds)}, ${take.notes} ${take.notes === 1 ? "note" : "notes"}`;
  if (get.dataset.key !== key) {
    get.dataset.key = key;
    const words = { mid: "MIDI", csv: "CSV", wav: "WAV" };
    get.replaceChildren(...take.kinds.map((kind) => element("a", { textContent: words[kind], href: `/take/${take.number}.${kind}`, download: `${take.name}.${kind}`, ariaLabel: `${take.name} as ${words[kind]}` })));
    const remove = element("button", {});
    const ask = (again) => {
      remove.textContent = again ? "Forget?" : "✕";
      remove.ariaLabel = again ? `Forget ${take.name} for good? Press again` : `Forget ${take.name}`;
    };
    let asked = -Infinity; // a take that is forgotten is gone: it takes a second press, within seconds
    remove.addEventListener("click", () => {
      if (performance.now() - asked < ASKED_MS) return send({ remove: take.number });
      asked = performance.now();
      ask(true);
      setTimeout(ask, ASKED_MS);
    });
    ask();
    get.append(remove);
  }
  sketch(li.querySelector("canvas"), take.shape);
}
function sketch(canvas, shape) {
  const [g, w, h] = prepare(canvas), sung = shape.filter((p) => p[1] > 0);
  if (!sung.length) return;
  const low = Math.min(...sung.map((p) => p[1])) - 1, high = Math.max(...sung.map((p) => p[1])) + 1, end = shape[shape.length - 1][0] || 1;
  g.strokeStyle = colour("--voice");
  g.lineWidth = 1.6;
  g.beginPath();
  let before = 0;
  for (const [at, pitch] of shape) {
    const x = 3 + (at / end) * (w - 6), y = h - 3 - ((pitch - low) / (high - low)) * (h - 6);
    if (pitch > 0) { if (before > 0) g.lineTo(x, y); else g.moveTo(x, y); }
    before = pitch;
  }
  g.stroke();
}
const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

// ---- controls ---------------------------------------------------------------------------------

const GROUPS = [
  ["Pitch", ["transpose", "octave", "scale", "snap"], ["note_range", "a4_hz"]],
  ["Playing", ["mode", "bend_range", "velocity_curve"], ["velocity_range"]],
  ["Expression", ["gate", "loudness", "brightness"], ["loudness_curve", "loudness_range", "brightness_curve", "brightness_range"]],
  ["In and out", ["input", "device", "listen", "midi_out", "latency_ms"], ["light", "listen_device", "channel", "channel_out", "synth", "midi_rate", "voicing_threshold", "f0_min_hz", "f0_max_hz"]],
];
const LABELS = {
  transpose: "Transpose", octave: "Octave", scale: "Scale", snap: "Snap", note_range: "Note range", a4_hz: "Tuning A4", mode: "Mode", bend_range: "Bend range",
  velocity_curve: "Velocity", velocity_range: "Velocity range", gate: "Gate", loudness: "Loudness", brightness: "Brightness", loudness_curve: "Loudness curve",
  loudness_range: "Loudness range", brightness_curve: "Brightness curve", brightness_range: "Brightness range", input: "Listen to", device: "Microphone", listen: "Play aloud", listen_device: "Aloud on", midi_out: "MIDI port",
  latency_ms: "Latency", light: "Light model", channel: "Input channel", channel_out: "MIDI channel", synth: "Synthesiser", midi_rate: "MIDI rate", voicing_threshold: "Voicing from", f0_min_hz: "Lowest pitch",
  f0_max_hz: "Highest pitch",
};
const UNITS = { transpose: "semitones", a4_hz: "Hz", bend_range: "semitones", velocity_range: "dBFS", loudness_range: "dBFS", brightness_range: "Hz", latency_ms: "ms", f0_min_hz: "Hz", f0_max_hz: "Hz", midi_rate: "bytes/s" };
const fill = {}; // name -> puts the value that is in force into its control

function makeControls() {
  const place = $("controls"), known = new Set(GROUPS.flatMap((g) => [...g[1], ...g[2]]));
  const others = Object.keys(shown.controls.settings).filter((name) => !known.has(name));
  const groups = [...GROUPS, ...(others.length ? [["More", others, []]] : [])];
  place.replaceChildren(voiceCard(), ...groups.map(([title, first, more]) => {
    const card = element("div", { className: "card" });
    card.append(element("h2", { textContent: title }), ...first.filter(there).map(field));
    if (more.filter(there).length) {
      const details = element("details"), stack = element("div", { className: "stack" });
      stack.append(...more.filter(there).map(field));
      details.append(element("summary", { textContent: `More of ${title.toLowerCase()}` }), stack);
      card.append(details);
    }
    return card;
  }));
  fillControls();
}
const there = (name) => name in shown.controls.settings;
function voiceCard() { // the singer's own profile, and a preset over it
  const card = element("div", { className: "card voice" }), button = element("button", { id: "fit", textContent: "Fit it to my voice (20 s)" }), both = element("div", { className: "both" });
  const trip = element("button", { id: "measure", textContent: "Measure the round trip" });
  const kept = element("p", { id: "kept", className: "faint" }), about = element("span"), follow = element("button", { id: "follow", textContent: "Let the profile decide" });
  card.append(element("h2", { textContent: "Voice and style" }));
  const selects = [["own", "Voice", "as usual"], ["preset", "Style", "as usual"]].map(([whose, title, none]) => {
    const box = element("div", { className: "field" }), caption = element("label", { className: "name", textContent: title }), row = element("div", { className: "row" });
    const select = tie(caption, element("select"), `profile-${whose}`);
    listen(select, "change", () => set("profile", selects.flatMap(([, one]) => JSON.parse(one.value))));
    row.append(select);
    box.append(caption, row);
    card.append(box);
    return [whose, select, none];
  });
  fill.profile = () => {
    const chosen = shown.orders.profiles || [];
    for (const [whose, select, none] of selects) {
      const known = shown.profiles.filter((one) => one[1] === whose), now = chosen.filter((name) => known.some((one) => one[0] === name));
      const wanted = [["[]", none, ""], ...known.map(([name, , about]) => [JSON.stringify([name]), name, about])];
      if (now.length > 1) wanted.push([JSON.stringify(now), now.join(" + "), ""]); // as the command line may have them
      const key = JSON.stringify(wanted);
      if (select.dataset.key !== key) {
        select.dataset.key = key;
        select.replaceChildren(...wanted.map(([value, textContent, title]) => element("option", { value, textContent, title })));
      }
      select.value = JSON.stringify(now);
      select.title = (wanted.find(([value]) => value === select.value) || ["", "", ""])[2];
    }
    const own = shown.orders.kept || [];
    kept.hidden = !own.length;
    about.textContent = `As you set it: ${own.map((name) => (LABELS[name] || name).toLowerCase()).join(", ")}. `;
  };
  follow.addEventListener("click", () => set("follow", null));
  kept.append(about, follow);
  button.addEventListener("click", beginSetup);
  trip.addEventListener("click", () => openTrip(true));
  both.append(button, trip);
  card.append(kept, both);
  return card;
}
function fillControls() {
  if (fill.profile) fill.profile();
  for (const name of Object.keys(fill)) if (name in shown.settings) fill[name](shown.settings[name]);
}

function field(name) {
  const about = shown.controls.settings[name], make = SPECIAL[name] || (about.choices ? (about.choices.length <= 6 ? choice : menu) : about.kind === "bool" ? toggle : Array.isArray(about.default) ? pair : plain);
  const box = element(make.grouped ? "fieldset" : "div", { className: "field", title: about.meaning + ({ "next note": " (from the next note on)", restart: " (starts again)" }[about.live] || "") });
  const caption = element(make.grouped ? "legend" : "label", { className: "name", textContent: LABELS[name] || name.replace(/_/g, " ") });
  box.append(caption);
  const row = element("div", { className: "row" });
  box.append(row);
  make(name, about, row, caption);
  return box;
}
function tie(caption, input, name) { input.id = `set-${name}`; caption.htmlFor = input.id; return input; }
const busy = (input) => document.activeElement === input && (input.typed || performance.now() - (input.touched || 0) < 1500);
function listen(input, event, act) { input.addEventListener(event, () => { input.touched = performance.now(); act(); }); }
const late = (about) => (about.live === "restart" ? "change" : "input");
const NONE = { listen: "demo only" }; // what no value means, where that is not "auto"
function label(value, name) { return value === null ? NONE[name] || "auto" : String(value); }

function choice(name, about, row) {
  row.className = about.choices.length > 4 ? "choice thirds" : "choice";
  const options = about.choices.map((value) => {
    const wrap = element("label"), input = element("input", { type: "radio", name: `set-${name}`, value: label(value, name) });
    listen(input, "change", () => set(name, value));
    wrap.append(input, document.createTextNode(label(value, name)));
    row.append(wrap);
    return [value, input];
  });
  fill[name] = (now) => { for (const [value, input] of options) input.checked = value === now; };
}
choice.grouped = true;

function menu(name, about, row, caption, choices) {
  const select = tie(caption, element("select"), name);
  listen(select, "change", () => set(name, JSON.parse(select.value)));
  row.append(select);
  fill[name] = (now) => {
    const wanted = choices ? choices(now) : about.choices.map((value) => [value, label(value, name)]);
    const key = JSON.stringify(wanted);
    if (select.dataset.key !== key) {
      select.dataset.key = key;
      select.replaceChildren(...wanted.map(([value, text]) => element("option", { value: JSON.stringify(value), textContent: text })));
    }
    select.value = JSON.stringify(now);
  };
}
function toggle(name, about, row, caption) {
  const input = tie(caption, element("input", { type: "checkbox" }), name);
  listen(input, "change", () => set(name, input.checked));
  row.append(input);
  fill[name] = (now) => { input.checked = !!now; };
}
function plain(name, about, row, caption) {
  const { ge, gt, le, lt } = about.limits, number = about.kind === "number" || ge !== undefined || gt !== undefined;
  const input = tie(caption, element("input", { type: number ? "number" : "text", step: "any" }), name);
  if (ge ?? gt) input.min = ge ?? gt;
  if (le ?? lt) input.max = le ?? lt;
  enter(name, input, about.default, () => set(name, input.value === "" ? null : number ? Number(input.value) : input.value));
  row.append(input, unit(name));
  fill[name] = (now) => { if (!busy(input)) input.value = now ?? ""; input.placeholder = "auto"; };
}
function enter(name, input, usual, act) { // what is typed stays as it is until it is entered; an emptied field means what is usual
  input.addEventListener("input", () => { input.typed = true; });
  listen(input, "change", () => {
    input.typed = false;
    if (input.validity.badInput) { refuse(`${name} was left as it is, since that is no number`); return; }
    if (input.value === "") input.value = usual ?? "";
    act();
  });
}
const unit = (name) => element("span", { className: "faint", textContent: UNITS[name] || "" });

function pair(name, about, row) {
  const ends = ["lowest", "highest"].map((end) => element("input", { type: "number", step: "any", ariaLabel: `${LABELS[name]}, ${end}` }));
  ends.forEach((input, i) => enter(name, input, about.default[i], () => set(name, ends.map((one) => Number(one.value)))));
  row.append(ends[0], ends[1], unit(name));
  fill[name] = (now) => ends.forEach((input, i) => { if (!busy(input)) input.value = now[i]; });
}
pair.grouped = true;

function stepper(name, about, row) {
  row.className = "row step";
  const text = element("output", { id: `set-${name}` });
  const step = (by) => { const next = (shown.settings[name] || 0) + by; if (next >= about.limits.ge && next <= about.limits.le && set(name, next)) { shown.settings[name] = next; fill[name](next); } };
  const down = element("button", { textContent: "−", ariaLabel: `${LABELS[name]} down` }), up = element("button", { textContent: "+", ariaLabel: `${LABELS[name]} up` });
  down.addEventListener("click", () => step(-1));
  up.addEventListener("click", () => step(1));
  row.append(down, text, up);
  fill[name] = (now) => { text.textContent = now > 0 ? `+${now}` : String(now); };
}
stepper.grouped = true;

function slider(name, row, caption, { min, max, step, read, write, say, event }) {
  const input = tie(caption, element("input", { type: "range", min, max, step }), name), text = element("output");
  input.addEventListener("input", () => { text.textContent = say(write(Number(input.value))); input.touched = performance.now(); });
  listen(input, event || "input", () => set(name, write(Number(input.value))));
  row.append(input, text);
  return (now) => { if (!busy(input)) input.value = read(now); text.textContent = say(now); input.setAttribute("aria-valuetext", text.textContent); };
}

const SPECIAL = {
  transpose: stepper,
  octave: stepper,
  scale(name, about, row, caption) {
    const tonic = tie(caption, element("select"), name), kind = element("select", { ariaLabel: "Kind of scale" });
    tonic.append(...["off", "auto", "chromatic", ...PLAIN].map((word) => element("option", { value: word, textContent: word === "auto" ? "as heard" : word === "chromatic" ? "semitones" : word })));
    kind.append(...shown.controls.scales.filter((word) => word !== "chromatic").map((word) => element("option", { value: word, textContent: word })));
    const change = () => { kind.hidden = !PLAIN.includes(tonic.value); set(name, kind.hidden ? tonic.value : `${tonic.value} ${kind.value}`); };
    listen(tonic, "change", change);
    listen(kind, "change", change);
    row.append(tonic, kind);
    fill[name] = (now) => {
      const [first, ...rest] = now.split(" "), listed = PLAIN.includes(first) && [...kind.options].some((one) => one.value === rest.join(" "));
      kind.hidden = !listed;
      if (listed) kind.value = rest.join(" ");
      tonic.value = listed ? first : now;
      if (!tonic.value) { tonic.append(element("option", { value: now, textContent: now })); tonic.value = now; } // as the command line has it: Am, Db major
    };
  },
  snap(name, about, row, caption) {
    fill[name] = slider(name, row, caption, {
      min: 0, max: 100, step: 5, read: (now) => ({ off: 0, hard: 100 })[now] ?? Number(now), write: (v) => (v === 0 ? "off" : v === 100 ? "hard" : String(v)),
      say: (value) => (value === "hard" && shown.settings.scale === "off" ? "no scale" : ["off", "hard"].includes(value) ? value : `${value} cents`),
    });
  },
  gate(name, about, row, caption) {
    fill[name] = slider(name, row, caption, {
      min: -82, max: 0, step: 1, read: (now) => ({ off: -82, auto: -81 })[now] ?? Number(now), write: (v) => (v === -82 ? "off" : v === -81 ? "auto" : String(v)),
      say: (value) => (["off", "auto"].includes(value) ? value : `${value} dBFS`),
    });
  },
  latency_ms(name, about, row, caption) {
    fill[name] = slider(name, row, caption, { min: 10, max: 200, step: 5, read: Number, write: (v) => v, say: (value) => `${value} ms`, event: "change" });
  },
  note_range(name, about, row) {
    const ends = ["lowest", "highest"].map((end) => {
      const select = element("select", { ariaLabel: `Note range, ${end}` });
      select.append(...Array.from({ length: 128 }, (_, note) => element("option", { value: String(note), textContent: named(note) })));
      listen(select, "change", () => set(name, ends.map((one) => one.value)));
      row.append(select);
      return select;
    });
    fill[name] = (now) => ends.forEach((select, i) => { select.value = String(number(now[i])); });
  },
  velocity_curve(name, about, row, caption) {
    menu(name, about, row, caption, (now) => [["linear", "linear"], ["soft", "soft"], ["hard", "hard"], ["fixed 100", "fixed"], ...(["linear", "soft", "hard", "fixed 100"].includes(now) ? [] : [[now, now]])]);
  },
  input(name, about, row, caption) {
    const select = tie(caption, element("select"), name);
    listen(select, "change", () => set(name, [select.value]));
    row.append(select);
    fill[name] = (now) => {
      const words = { mic: "the microphone", demo: "the demo" }, choices = [...new Set(["mic", "demo", ...now])];
      select.replaceChildren(...choices.map((value) => element("option", { value, textContent: words[value] || value })));
      select.value = now[0];
    };
  },
  device(name, about, row, caption) {
    menu(name, about, row, caption, (now) => {
      const found = shown.devices.inputs.map(([index, text, first]) => [index, text + (first ? " (usual)" : "")]);
      return [[null, "the usual one"], ...found, ...(now === null || found.some(([value]) => value === now) ? [] : [[now, String(now)]])];
    });
    row.append(again());
  },
  listen_device(name, about, row, caption) {
    menu(name, about, row, caption, (now) => {
      const found = shown.devices.outputs.map(([index, text, first]) => [index, text + (first ? " (usual)" : "")]);
      return [[null, "the usual one"], ...found, ...(now === null || found.some(([value]) => value === now) ? [] : [[now, String(now)]])];
    });
  },
  midi_out(name, about, row, caption) {
    menu(name, about, row, caption, (now) => {
      const found = shown.devices.midi.map((port) => [port, port]);
      return [[null, "none"], ["virtual", "a port of our own"], ...found, ...([null, "virtual"].includes(now) || found.some(([value]) => value === now) ? [] : [[now, now]])];
    });
    row.append(again());
  },
};
SPECIAL.note_range.grouped = true;
function again() {
  const button = element("button", { className: "quiet", textContent: "↻", ariaLabel: "Look for devices again", title: "Look for devices again" });
  button.addEventListener("click", () => send({ devices: true }));
  return button;
}
function number(text) {
  const match = /^([A-G])([#b♯♭]?)(-?\d)$/.exec(text);
  if (!match) return Number(text);
  return 12 * (Number(match[3]) + 1) + { C: 0, D: 2, E: 4, F: 5, G: 7, A: 9, B: 11 }[match[1]] + ({ "#": 1, "♯": 1, b: -1, "♭": -1 }[match[2]] || 0);
}
function element(tag, properties = {}) {
  const made = Object.assign(document.createElement(tag), properties);
  if (properties.textContent) made.textContent = seen(properties.textContent);
  return made;
}
// Names of devices, ports and files are other people's: what would turn the reading direction, or cannot be seen, is written out.
function seen(text) { return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (c) => (c === "\n" ? c : `\\u{${c.codePointAt(0).toString(16)}}`)); }
function put(id, text) { $(id).textContent = seen(text); }

// ---- buttons and keys -------------------------------------------------------------------------

const actions = {
  run: () => send({ run: $("run").querySelector(".label").textContent === "Start" }),
  pause: () => set("pause", !shown.orders.paused),
  record: () => send(shown.takes.now ? { finish: true } : { record: $("with-sound").checked }),
  demo: () => { set("input", ["demo"]); send({ run: true }); },
  panic: () => { if (set("panic", null)) toast("Silenced."); },
};
for (const [id, act] of Object.entries(actions)) $(id).addEventListener("click", act);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !$("keys").checked) return;
  const on = event.target, types = on.closest && on.closest("input[type=text], input[type=number], select");
  const id = { s: "run", " ": "pause", r: "record", d: "demo", escape: "panic" }[event.key.toLowerCase()];
  if (!id || (types && id !== "panic") || (event.key === " " && on.closest("button, input, a, summary"))) return;
  event.preventDefault();
  if (!event.repeat) actions[id](); // held down it is one press
});
const kept = { // over a reload, where the browser lets a page keep something
  get theme() { try { return localStorage.getItem("theme"); } catch { return null; } },
  set theme(theme) { try { localStorage.setItem("theme", theme); } catch { /* until the page is left, then */ } },
};
function dress(theme) { if (theme) document.documentElement.dataset.theme = theme; palette.clear(); }
if (kept.theme) document.documentElement.dataset.theme = kept.theme;
$("theme").addEventListener("click", () => {
  const light = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "light" : matchMedia("(prefers-color-scheme: light)").matches;
  dress(kept.theme = light ? "dark" : "light");
  showTakes();
  drawLatency();
});
matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => dress());

// ---- pictures ---------------------------------------------------------------------------------

const palette = new Map();
function colour(name) {
  if (!palette.has(name)) palette.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  return palette.get(name);
}
let big = 1; // text is so much larger than on a desk, as on a wall: see panel.css
function measure() { big = parseFloat(getComputedStyle(document.documentElement).fontSize) / 16 || 1; }
function prepare(canvas, options) {
  const ratio = Math.min(2, window.devicePixelRatio || 1), w = canvas.clientWidth, h = canvas.clientHeight;
  if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) { canvas.width = Math.round(w * ratio); canvas.height = Math.round(h * ratio); }
  const g = canvas.getContext("2d", options);
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  if (!options) g.clearRect(0, 0, w, h);
  return [g, w, h, ratio];
}

const view = { low: 47, high: 73 };
function follow(from) {
  let low = Infinity, high = -Infinity;
  for (let i = frames.length - 1; i >= 0 && frames[i][0] > from; i--) if (frames[i][2]) { low = Math.min(low, frames[i][1]); high = Math.max(high, frames[i][1]); }
  for (let i = notes.length - 1; i >= 0 && (notes[i].off === null || notes[i].off > from); i--) { low = Math.min(low, notes[i].note); high = Math.max(high, notes[i].note); }
  if (low > high) return;
  const spare = Math.max(3, (22 - (high - low)) / 2);
  view.low = nearer(view.low, Math.floor(low - spare));
  view.high = nearer(view.high, Math.ceil(high + spare));
}
const nearer = (from, to) => (Math.abs(to - from) < 0.02 ? to : from + 0.1 * (to - from)); // it comes to rest, which spares drawing

// A picture costs what the browser makes of it, too, which may be all of it where no graphics card draws: a message to ourselves comes
// when that is done. A machine that is slow to draw has music to make: there are fewer pictures there.
const SLOW_MS = 1.5, SLOWER_MS = 8, STILL_S = 1.5;
const drawn = new MessageChannel();
let drawMs = SLOW_MS, turn = 0, begun = 0;
drawn.port1.onmessage = () => { drawMs += 0.1 * (performance.now() - begun - drawMs); };
function draw() {
  requestAnimationFrame(draw);
  if (document.hidden) return;
  turn += 1;
  const still = performance.now() / 1000 - arrived > STILL_S; // nothing comes: drawn for the controls' sake alone
  if (turn % (still ? 15 : drawMs > SLOWER_MS ? 4 : drawMs > SLOW_MS ? 2 : 1)) return;
  begun = performance.now();
  paint();
  drawn.port2.postMessage(0);
}

// What does not move is drawn once, on a canvas of its own; so is what was heard, on one that is shown further left in each picture and
// goes round: only what is new is added. Both are drawn anew when the view moves.
let back = null, past = null;
function paint() {
  const canvas = $("roll"), [g, w, h, ratio] = prepare(canvas, { alpha: false }), keys = Math.max(34, Math.min(64 * big, w * 0.06)), clockNow = performance.now() / 1000;
  const now = offset === null ? 0 : Math.min(newest + 0.15, clockNow + offset - 0.05), span = w < 500 ? WINDOW_S / 2 : WINDOW_S;
  follow(now - span);
  const edge = w - 26, row = h / (view.high - view.low), y = (pitch) => h - (pitch - view.low) * row, perS = (edge - keys) / span, x = (at) => edge - (now - at) * perS;
  const place = { w, h, ratio, keys, edge, row, y, perS, now, span, key: [w, h, ratio, view.low, view.high, span, colour("--card"), colour("--voice")].join() };
  g.setTransform(1, 0, 0, 1, 0, 0);
  g.drawImage(drawBack(canvas, place), 0, 0);
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.fillStyle = colour("--grid");
  for (let s = Math.ceil(now - span); s <= now; s++) g.fillRect(Math.round(x(s)), 0, 1, h);
  g.save();
  g.beginPath();
  g.rect(keys, 0, edge + 7 - keys, h);
  g.clip();
  drawNotes(g, x, y, row, now, span);
  g.setTransform(1, 0, 0, 1, 0, 0);
  drawPast(g, canvas, place);
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  const last = frames[frames.length - 1];
  if (last && last[2] && now - last[0] < 0.3) { g.fillStyle = colour("--voice"); g.beginPath(); g.arc(x(last[0]), y(last[1]), 5.5 * big, 0, 7); g.fill(); }
  g.restore();
  if (drawMs < SLOW_MS || turn % 4 === 0 || clockNow - arrived > STILL_S) showNow(clockNow);
}
function drawBack(canvas, { w, h, ratio, keys, edge, row, y, key }) {
  const sounding = new Set(notes.filter((n) => n.off === null).map((n) => n.note)), wanted = [key, shown.scale, ...sounding].join();
  if (back && back.key === wanted) return back.canvas;
  back = { key: wanted, canvas: (back && back.canvas) || element("canvas") };
  if (back.canvas.width !== canvas.width || back.canvas.height !== canvas.height) { back.canvas.width = canvas.width; back.canvas.height = canvas.height; }
  const g = back.canvas.getContext("2d", { alpha: false });
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.fillStyle = colour("--card");
  g.fillRect(0, 0, w, h);
  drawGrid(g, w, keys, row, y);
  drawKeys(g, keys, row, y, sounding);
  g.fillStyle = colour("--line");
  g.fillRect(edge, 0, 1, h);
  return back.canvas;
}
function drawGrid(g, w, keys, row, y) {
  const scale = new Set(shown.scale);
  for (let note = Math.floor(view.low); note <= view.high + 1; note++) {
    const pc = ((note % 12) + 12) % 12, black = [1, 3, 6, 8, 10].includes(pc);
    if (black) { g.fillStyle = colour("--grid"); g.globalAlpha = 0.6; g.fillRect(keys, y(note + 0.5), w, row); g.globalAlpha = 1; }
    if (scale.has(pc)) { g.fillStyle = colour("--target"); g.fillRect(keys, y(note) - 1, w, 2); }
    else if (pc === 0) { g.fillStyle = colour("--line"); g.fillRect(keys, y(note - 0.5), w, 1); }
  }
}
function drawKeys(g, keys, row, y, sounding) {
  g.font = `600 ${Math.max(10, Math.min(15 * big, row * 0.72))}px system-ui, sans-serif`;
  g.textBaseline = "middle";
  for (let note = Math.floor(view.low); note <= view.high + 1; note++) {
    const pc = ((note % 12) + 12) % 12, black = [1, 3, 6, 8, 10].includes(pc), top = y(note + 0.5);
    g.fillStyle = sounding.has(note) ? colour("--accent") : colour(black ? "--key-black" : "--key-white");
    g.fillRect(0, top, keys, Math.max(1, row - 1));
    if ((pc === 0 || (row > 17 && !black) || sounding.has(note)) && y(note) > 7) { g.fillStyle = sounding.has(note) ? colour("--accent-ink") : colour("--faint"); g.textAlign = "right"; g.fillText(named(note), keys - 6, y(note)); }
  }
}
const AHEAD_PX = 24; // of the round canvas, clear before the newest
function drawPast(g, canvas, place) {
  const { ratio, keys, edge, perS, now, span, key } = place, shownPx = Math.ceil((edge + 7 - keys) * ratio);
  if (!past || past.key !== key || newest < past.upTo - 0.5) {
    const layer = (past && past.layer) || element("canvas"), wide = shownPx + Math.ceil(perS * ratio) + 2 * AHEAD_PX;
    if (layer.width !== wide || layer.height !== canvas.height) { layer.width = wide; layer.height = canvas.height; }
    const pen = layer.getContext("2d");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, layer.width, layer.height);
    const from = now - span - 0.2;
    past = { key, layer, pen, from, upTo: from, heatTo: from, clear: layer.width - AHEAD_PX };
  }
  const { layer, pen } = past, wide = layer.width, at = (s) => (s - past.from) * perS * ratio, newestPx = at(newest) + AHEAD_PX;
  pen.setTransform(1, 0, 0, 1, 0, 0);
  for (let left = past.clear; left < newestPx; ) { // room for what is new, over what has gone out of sight
    const start = left % wide, much = Math.min(wide - start, Math.ceil(newestPx - left));
    pen.clearRect(start, 0, much, layer.height);
    left += much;
    past.clear = left;
  }
  if (newest > past.upTo) {
    const first = Math.floor(at(Math.min(past.upTo, past.heatTo) - 0.1) / wide), end = Math.floor(newestPx / wide);
    for (let turn = Math.max(0, first); turn <= end; turn++) {
      pen.setTransform(ratio, 0, 0, ratio, -turn * wide, 0);
      addHeatTo(pen, (s) => (s - past.from) * perS, place);
      addTrailTo(pen, (s) => (s - past.from) * perS, place);
    }
    past.upTo = newest;
    past.heatTo = heat.length ? heat[heat.length - 1].at : past.heatTo;
  }
  const left = Math.round(at(now - span)), start = ((left % wide) + wide) % wide, much = Math.min(shownPx, wide - start), to = Math.round(keys * ratio);
  g.drawImage(layer, start, 0, much, layer.height, to, 0, much, layer.height);
  if (much < shownPx) g.drawImage(layer, 0, 0, shownPx - much, layer.height, to + much, 0, shownPx - much, layer.height);
}
function addHeatTo(pen, x, { perS, row, y }) {
  const wide = Math.max(2, 0.062 * perS), tall = Math.max(1.5, (2 * row) / BINS_PER_SEMITONE);
  pen.fillStyle = colour("--voice");
  for (let i = heat.length - 1; i >= 0 && heat[i].at > past.heatTo; i--) {
    const left = x(heat[i].at) - wide / 2;
    for (const [pitch, value] of heat[i].cells) { pen.globalAlpha = 0.55 * Math.sqrt(value); pen.fillRect(left, y(pitch) - tall / 2, wide, tall); }
  }
  pen.globalAlpha = 1;
}
function addTrailTo(pen, x, { y }) {
  pen.lineCap = pen.lineJoin = "round";
  pen.strokeStyle = colour("--voice");
  let i = frames.length - 1, open = "";
  while (i > 0 && frames[i][0] > past.upTo) i--;
  for (; i + 1 < frames.length; i++) {
    const [at, pitch, voiced, sure, level] = frames[i], next = frames[i + 1];
    const joined = voiced && next[2] && next[0] - at <= 0.05 && Math.abs(next[1] - pitch) <= 4;
    const alpha = Math.round(6 * sure), width = Math.round(6 * Math.max(0, Math.min(1, (level + 50) / 45))), style = joined ? `${alpha} ${width}` : "";
    if (style !== open) { // as long as it looks the same it is one line
      if (open) pen.stroke();
      open = style;
      if (joined) { pen.globalAlpha = 0.25 + 0.125 * alpha; pen.lineWidth = (1.5 + 0.6 * width) * big; pen.beginPath(); pen.moveTo(x(at), y(pitch)); }
    }
    if (joined) pen.lineTo(x(next[0]), y(next[1]));
  }
  if (open) pen.stroke();
  pen.globalAlpha = 1;
}
function drawNotes(g, x, y, row, now, span) {
  const thick = Math.max(5, row * 0.82);
  for (let i = notes.length - 1; i >= 0; i--) {
    const n = notes[i], end = n.off ?? now;
    if (end < now - span) { if (i < notes.length - 60) break; continue; }
    const left = x(n.on), right = Math.max(left + 3, x(end)), top = y(n.note) - thick / 2;
    g.globalAlpha = 0.28 + 0.5 * (n.velocity / 127);
    g.fillStyle = colour("--accent");
    g.beginPath();
    g.roundRect(left, top, right - left, thick, Math.min(6, thick / 2));
    g.fill();
    g.globalAlpha = 1;
    if (right - left > 18 && row > 9) {
      g.fillStyle = colour("--accent");
      g.font = `700 ${Math.max(11, Math.min(16 * big, row * 0.72))}px system-ui, sans-serif`;
      g.textAlign = "left";
      g.textBaseline = "bottom";
      g.fillText(named(n.note), left + 1, top - 3);
    }
  }
}
const TEXT_EVERY_S = 0.08;
let drawnNote = "", wrote = 0;
function showNow(clockNow) {
  const last = frames[frames.length - 1], fresh = last && clockNow - arrived < 0.5, sung = fresh && last[2];
  const held = fresh ? notes.findLast((n) => n.off === null) : null, pitch = sung ? last[1] : null, note = held ? held.note : sung ? Math.round(pitch) : null;
  const text = note === null ? "–" : `${note}`, key = text + !!held;
  if (key !== drawnNote) {
    drawnNote = key;
    $("note").replaceChildren(note === null ? "–" : NAMES[((note % 12) + 12) % 12], ...(note === null ? [] : [element("sup", { textContent: String(Math.floor(note / 12) - 1) })]));
    $("note").classList.toggle("on", !!held);
  }
  const isTime = clockNow - wrote > TEXT_EVERY_S; // what changes more often cannot be read
  if (isTime) wrote = clockNow;
  const cents = sung && note !== null ? Math.round(100 * (pitch - note)) : null;
  $("needle").style.opacity = cents === null ? 0 : 1;
  if (cents !== null) $("needle").style.left = `${50 + Math.max(-50, Math.min(50, cents))}%`;
  if (isTime || cents === null) write("cents", cents === null ? "\u00a0" : `${cents > 0 ? "+" : cents < 0 ? "−" : "±"}${Math.abs(cents)} cents`);
  meter(isTime, "level", fresh ? part(last[4]) : 0, fresh ? (last[4] > SILENT_DB ? `${last[4].toFixed(0)} dBFS` : "silent") : "–", fresh ? Math.round(last[4]) : FLOOR_DB);
  meter(isTime, "sure", sung ? last[3] : 0, sung ? `${Math.round(100 * last[3])} %` : "–", sung ? Math.round(100 * last[3]) : 0);
  const gate = shown.settings.gate, opens = gate === "auto" ? (fresh ? last[5] + 12 : null) : gate === "off" || gate === undefined ? null : Number(gate);
  mark("floor", fresh ? last[5] : null);
  mark("gate-mark", opens);
}
const part = (db) => Math.max(0, Math.min(1, (db - FLOOR_DB) / -FLOOR_DB));
function write(id, text) { if ($(id).textContent !== text) $(id).textContent = text; }
function meter(isTime, id, share, text, value) {
  $(id).firstElementChild.style.transform = `scaleX(${share.toFixed(2)})`;
  if (isTime && $(`${id}-text`).textContent !== text) { $(`${id}-text`).textContent = text; $(id).setAttribute("aria-valuenow", value); $(id).setAttribute("aria-valuetext", text); }
}
const marked = {};
function mark(id, db) {
  const left = db === null ? "" : `calc(${(100 * part(db)).toFixed(1)}% - 1px)`;
  if (marked[id] === left) return;
  marked[id] = left;
  $(id).style.display = left ? "block" : "none";
  $(id).style.left = left;
}

function drawLatency() {
  const [g, w, h] = prepare($("latency")), f = shown.figures, base = shown.state.total_ms || 0, bound = shown.state.bound_ms || 0;
  const bins = (f && f.late_bins) || [], width = (f && f.late_bin_ms) || 2, most = Math.max(1, ...bins.map((b) => b[1]));
  const last = bins.length ? bins[bins.length - 1][0] * width : 0, end = Math.max(40, base + Math.min(last, 200) + 10, bound + 10), x = (ms) => 4 + (ms / end) * (w - 8), foot = h - 20 * big;
  g.font = `${12 * big}px system-ui, sans-serif`;
  g.textBaseline = "alphabetic";
  g.fillStyle = colour("--raised");
  g.fillRect(x(0), 4, x(base) - x(0), foot - 4);
  g.fillStyle = colour("--voice");
  for (const [place, count] of bins) {
    const tall = (foot - 8) * Math.pow(count / most, 0.35), left = x(Math.min(base + place * width, end));
    g.fillRect(left, foot - tall, Math.max(2, x(width) - x(0) - 1), tall);
  }
  g.fillStyle = colour("--line");
  g.fillRect(4, foot, w - 8, 1);
  g.fillStyle = colour("--faint");
  g.textAlign = "center";
  for (let ms = 0; ms <= end; ms += end > 120 ? 50 : 10) g.fillText(ms === 0 ? "0" : String(ms), Math.max(8, Math.min(w - 12 * big, x(ms))), h - 4);
  g.textAlign = "left";
  g.fillText(base ? `${Math.round(base)} ms of sound are waited for` : "latency in ms, as measured", x(0) + 6, 18 * big);
  if (bound) { g.fillStyle = colour("--accent"); g.fillRect(x(bound), 4, 2, foot - 4); g.textAlign = x(bound) > 70 ? "right" : "left"; g.fillText("bound", x(bound) + (g.textAlign === "left" ? 5 : -5), 34 * big); }
}
measure();
window.addEventListener("resize", () => { measure(); drawLatency(); showTakes(); });

connect();
requestAnimationFrame(draw);
