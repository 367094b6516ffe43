"use strict";
// Shows what the stream of events says. Nothing is fetched from elsewhere, and text of the run is never HTML.

const $ = (id) => document.getElementById(id);
const make = (tag, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
};
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const short = (value) => value === null || value === undefined ? "not finite" : Number(value.toPrecision(3)).toString();
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

let about = {}, state = {}, points = [], epochs = [], frame = null, ended = false, stream = null;

// Tiles -------------------------------------------------------------------------------------------------------------

let shades = {};
const rgb = (name) => {
  const value = colour(name).slice(1);
  const full = value.length === 3 ? [...value].map((digit) => digit + digit).join("") : value;
  return [0, 2, 4].map((place) => parseInt(full.slice(place, place + 2), 16));
};
function makeShades() {
  const [zero, below, above] = ["--zero", "--below", "--above"].map(rgb);
  const mix = (from, to, share) => from.map((value, index) => Math.round(value + (to[index] - value) * share));
  shades.signed = Array.from({ length: 256 }, (_, value) =>
    value < 127.5 ? mix(zero, below, (127.5 - value) / 127.5) : mix(zero, above, (value - 127.5) / 127.5));
  shades.grey = Array.from({ length: 256 }, (_, value) => [value, value, value]);
}

// How many screen pixels one entry takes, such that tiles can be seen and a row is not too wide.
function scaleOf(count, height, width, size) {
  const side = Math.max(height, width);
  const wanted = side === 1 ? 9 : count === 1 ? 180 / side : size / side;
  return Math.min(10, Math.max(1, Math.floor(wanted)));
}

function drawTiles(canvas, tiles, { signed = false, columns = 0, room = 400, size = 60 } = {}) {
  const [count, height, width, channels] = tiles.pixels.size;
  const data = bytes(tiles.pixels.bytes);
  const scale = scaleOf(count, height, width, size), gap = height * width > 1 ? 2 : 1;
  const fit = Math.max(1, Math.floor((room + gap) / (width * scale + gap)));
  const most = Math.min(count, columns || Infinity, fit);
  const across = Math.ceil(count / Math.ceil(count / most)), down = Math.ceil(count / across);
  const wide = across * (width * scale + gap) - gap, high = down * (height * scale + gap) - gap;
  if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
  const image = new ImageData(wide, high), table = signed ? shades.signed : shades.grey;
  for (let tile = 0; tile < count; tile++) {
    const left = (tile % across) * (width * scale + gap), top = Math.floor(tile / across) * (height * scale + gap);
    for (let y = 0; y < height * scale; y++) {
      const from = (tile * height + Math.floor(y / scale)) * width;
      let to = 4 * ((top + y) * wide + left);
      for (let x = 0; x < width * scale; x++, to += 4) {
        const place = (from + Math.floor(x / scale)) * channels;
        const value = channels === 3 ? [data[place], data[place + 1], data[place + 2]] : table[data[place]];
        image.data.set([value[0], value[1], value[2], 255], to);
      }
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// Layers and weights --------------------------------------------------------------------------------------------------

const rows = { layers: [], weights: [] };
function rowOf(kind, index) {
  if (!rows[kind][index]) {
    const parts = ["value", "gradient"].map((part) => {
      const canvas = make("canvas", { className: part }), caption = make("figcaption");
      return { canvas, caption, node: make("figure", {}, caption, canvas) };
    });
    const name = make("span"), shape = make("small");
    const node = make("div", { className: "row" }, make("div", { className: "what" }, name, shape), ...parts.map((part) => part.node));
    $(kind).append(node);
    rows[kind][index] = { node, name, shape, parts };
  }
  return rows[kind][index];
}

function showRows(kind, entries, words) {
  entries.forEach((entry, index) => {
    const row = rowOf(kind, index);
    const size = entry.shape.reduce((product, side) => product * side, 1);
    row.name.textContent = entry.name;
    row.shape.textContent = `${entry.shape.join(" x ")}${kind === "weights" ? ` = ${size.toLocaleString("en")}` : ""}`;
    ["value", "gradient"].forEach((part, column) => {
      const tiles = entry[part], { canvas, caption, node } = row.parts[column];
      const signed = kind === "weights" || part === "gradient";
      const range = tiles.low === null ? "not finite" : signed ? `± ${short(tiles.high)}` : `${short(tiles.low)} to ${short(tiles.high)}`;
      caption.textContent = `${words[column]} ${range}`;
      canvas.setAttribute("aria-label", `${words[column]} of ${entry.name}`);
      drawTiles(canvas, tiles, { signed, columns: entry.columns, size: kind === "weights" ? 32 : 60, room: Math.max(60, node.clientWidth) });
    });
  });
  rows[kind].splice(entries.length).forEach((row) => row.node.remove());
}

function showFrame() {
  if (!frame) return;
  $("waiting").hidden = true;
  const input = frame.input, entry = { name: "input", shape: input.pixels.size.slice(1, 3) };
  showInput(entry, input);
  showRows("layers", frame.layers, ["activations", "gradients"]);
  showRows("weights", frame.weights, ["weights", "gradients"]);
  showBars($("answer"), frame.example === null ? frame.answer : null, null);
  frame.predictions.forEach((best, index) => {
    const label = about.labels ? about.labels[index] : null;
    if (cards[index]) showBars(cards[index].bars, best, label);
  });
  cards.forEach((card, index) => card.node.setAttribute("aria-pressed", String(frame.example === index)));
  showFigures();
}

let inputRow = null;
function showInput(entry, tiles) {
  if (!inputRow) {
    const canvas = make("canvas", { id: "input" }), caption = make("figcaption"), loss = make("small");
    inputRow = { canvas, caption, loss };
    $("layers").before(make("div", { className: "row" },
      make("div", { className: "what" }, "input", loss), make("figure", {}, caption, canvas)));
  }
  inputRow.loss.textContent = `loss ${short(frame.loss)}`;
  inputRow.caption.textContent = `from ${short(tiles.low)} to ${short(tiles.high)}`;
  drawTiles(inputRow.canvas, tiles, { room: 300 });
}

// Predictions -----------------------------------------------------------------------------------------------------------

const nameOf = (index) => (about.classes && about.classes[index]) || String(index);
function showBars(list, best, label) {
  const items = (best || []).map(([index, share]) => {
    const bar = make("i");
    bar.style.width = `${100 * (share || 0)}%`;
    const name = make("span", { textContent: nameOf(index) });
    const item = make("li", {}, bar, name, make("span", { textContent: share === null ? "not finite" : `${(100 * share).toFixed(0)} %` }));
    if (label !== null && label !== undefined) item.className = index === label ? "right" : "wrong";
    return item;
  });
  list.replaceChildren(...items);
}

let cards = [];
function makeCards() {
  $("predictions-section").hidden = !about.images;
  if (!about.images) return;
  const [count, height, width, channels] = about.images.size, data = bytes(about.images.bytes);
  cards = Array.from({ length: count }, (_, index) => {
    const canvas = make("canvas", { width, height }), image = new ImageData(width, height);
    for (let place = 0; place < height * width; place++) {
      const from = (index * height * width + place) * channels;
      const value = channels === 3 ? data.slice(from, from + 3) : [data[from], data[from], data[from]];
      image.data.set([...value, 255], 4 * place);
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    const label = about.labels ? nameOf(about.labels[index]) : `image ${index + 1}`;
    const bars = make("ol", { className: "bars" });
    const node = make("button", { type: "button", className: "prediction", title: label }, canvas, bars);
    node.setAttribute("aria-label", `test image: ${label}`);
    node.addEventListener("click", () => act({ do: "example", index }));
    return { node, bars };
  });
  $("predictions").replaceChildren(...cards.map((card) => card.node));
}

// Curves ----------------------------------------------------------------------------------------------------------------

function seriesOf() {
  const found = {};
  const add = (name, step, value) => {
    const [split, ...rest] = name.split("/"), measure = rest.join("/");
    if (!["batch", "train", "val", "test"].includes(split) || measure === "skipped" || measure === "went_back_to") return;
    const lines = (found[measure] ??= {});
    (lines[split] ??= []).push([step, value]);
  };
  points.forEach(([step, figures]) => Object.entries(figures).forEach(([name, value]) => add(name, step, value)));
  epochs.forEach((record) => Object.entries(record).forEach(([name, value]) => add(name, record.step, value)));
  return Object.entries(found).slice(0, 4);
}

function showCurves() {
  const all = seriesOf(), box = $("curves");
  while (box.children.length < all.length) {
    box.append(make("figure", {}, make("figcaption"), make("canvas")));
  }
  all.forEach(([measure, lines], index) => {
    const [caption, canvas] = box.children[index].children;
    const splits = ["batch", "train", "val", "test"].filter((split) => lines[split]);
    caption.replaceChildren(make("b", { textContent: measure }), ...splits.map((split) => {
      const last = lines[split].at(-1)[1];
      const key = make("span", { className: "key", textContent: `${split} ${short(last)}` });
      key.style.setProperty("--colour", `var(--${split})`);
      return key;
    }));
    canvas.setAttribute("aria-label", `curves of ${measure}`);
    drawCurves(canvas, splits.map((split) => [split, lines[split]]));
  });
}

function drawCurves(canvas, lines) {
  const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  const good = lines.map(([split, line]) => [split, line.filter(([, value]) => value !== null)]);
  const values = good.flatMap(([, line]) => line.map(([, value]) => value));
  if (!values.length) return;
  let low = Math.min(...values), high = Math.max(...values);
  if (high === low) [low, high] = [low - 0.5, high + 0.5];
  const last = Math.max(...good.flatMap(([, line]) => line.map(([step]) => step)), 1);
  const left = 44, bottom = height - 16, top = 6;
  const x = (step) => left + (width - left - 6) * step / last;
  const y = (value) => bottom - (bottom - top) * (value - low) / (high - low);
  pen.font = "11px system-ui, sans-serif";
  pen.fillStyle = colour("--faint");
  pen.strokeStyle = colour("--line");
  pen.lineWidth = 1;
  pen.textAlign = "right";
  for (const value of [low, (low + high) / 2, high]) {
    pen.beginPath();
    pen.moveTo(left, y(value));
    pen.lineTo(width - 6, y(value));
    pen.stroke();
    pen.fillText(short(value), left - 5, Math.min(bottom, Math.max(top + 6, y(value) + 4)));
  }
  pen.fillText(`step ${last}`, width - 6, height - 3);
  for (const [split, line] of good) {
    pen.strokeStyle = pen.fillStyle = colour(`--${split}`);
    pen.lineWidth = split === "batch" ? 1 : 2;
    pen.beginPath();
    line.forEach(([step, value], index) => pen[index ? "lineTo" : "moveTo"](x(step), y(value)));
    pen.stroke();
    if (split !== "batch") line.slice(-1).forEach(([step, value]) => pen.fillRect(x(step) - 2, y(value) - 2, 4, 4));
  }
}

// State -----------------------------------------------------------------------------------------------------------------

function showFigures() {
  const step = Math.max(state.step || 0, 0);
  const shown = { step: `${step.toLocaleString("en")} of ${(about.total_steps || 0).toLocaleString("en")}` };
  if (state.epoch) shown.epoch = state.epoch;
  if (state.rate) shown["images/s"] = Math.round(state.rate).toLocaleString("en");
  if (frame) {
    shown.frame = `step ${frame.step.toLocaleString("en")}, ${short(frame.milliseconds)} ms`;
    if (about.controls && state.status === "training") shown["time for frames"] = `${(100 * frame.share).toFixed(1)} %`;
  }
  $("figures").replaceChildren(...Object.entries(shown).map(([name, value]) =>
    make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value }))));
}

function showState() {
  $("status").textContent = state.status;
  $("status").className = `pill ${(state.status || "").split(" ")[0]}`;
  $("failure").hidden = !state.failure;
  $("failure").textContent = state.failure ? `The layers cannot be shown: ${state.failure}` : "";
  const paused = state.status === "paused";
  $("pause").textContent = paused ? "Continue" : "Pause";
  $("step").disabled = !paused;
  showFigures();
}

async function act(wish) {
  try {
    await fetch("act", { method: "POST", body: JSON.stringify(wish) });
  } catch { /* the stream says that the server is gone */ }
}

// Drawing ---------------------------------------------------------------------------------------------------------------

const pad = $("pad"), brush = pad.getContext("2d", { willReadFrequently: true });
let drawing = false, timer = null;
function clearPad() {
  brush.fillStyle = about.light ? "#fff" : "#000";
  brush.fillRect(0, 0, pad.width, pad.height);
}
function stroke(event, begins) {
  const box = pad.getBoundingClientRect();
  const x = (event.clientX - box.left) * pad.width / box.width, y = (event.clientY - box.top) * pad.height / box.height;
  Object.assign(brush, { lineWidth: pad.width / 11, lineCap: "round", lineJoin: "round", strokeStyle: about.light ? "#000" : "#fff" });
  if (begins) { brush.beginPath(); brush.moveTo(x, y); }
  brush.lineTo(x, y);
  brush.stroke();
  timer ??= setTimeout(sendDrawing, 120);
}
function sendDrawing() {
  timer = null;
  const [height, width] = about.size, small = new OffscreenCanvas(width, height);
  const pen = small.getContext("2d", { willReadFrequently: true });
  Object.assign(pen, { imageSmoothingEnabled: true, imageSmoothingQuality: "high" });
  pen.drawImage(pad, 0, 0, width, height);
  const shown = pen.getImageData(0, 0, width, height).data;
  let text = "";
  for (let place = 0; place < shown.length; place += 4) text += String.fromCharCode(shown[place]);
  act({ do: "draw", pixels: btoa(text) });
}
pad.addEventListener("pointerdown", (event) => { drawing = true; pad.setPointerCapture(event.pointerId); stroke(event, true); });
pad.addEventListener("pointermove", (event) => { if (drawing) stroke(event, false); });
pad.addEventListener("pointerup", () => { drawing = false; });
$("clear").addEventListener("click", () => { clearPad(); act({ do: "example", index: 0 }); });
$("pause").addEventListener("click", () => act({ do: state.status === "paused" ? "resume" : "pause" }));
$("step").addEventListener("click", () => act({ do: "step" }));

// The stream ------------------------------------------------------------------------------------------------------------

const hear = {
  about(content) {
    about = content;
    document.title = `${about.name}: jaxcnn`;
    $("name").textContent = about.name;
    $("name").title = about.run || "";
    $("controls").hidden = !about.controls;
    $("draw-section").hidden = !about.draws;
    if (about.draws) clearPad();
    makeCards();
  },
  state(content) { state = content; showState(); },
  curves(content) {
    points = content.again ? content.points : points.concat(content.points);
    epochs = content.again ? content.epochs : epochs.concat(content.epochs);
    showCurves();
  },
  frame(content) { frame = content; showFrame(); },
  end() { ended = true; stream.close(); showState(); $("controls").hidden = true; },
};
function connect() {
  if (ended || stream || document.hidden) return;
  stream = new EventSource("events");
  for (const kind of Object.keys(hear)) stream.addEventListener(kind, (event) => hear[kind](JSON.parse(event.data)));
  stream.addEventListener("error", () => { $("status").textContent = "connection lost"; $("status").className = "pill lost"; });
}
// A page that nobody sees asks for nothing.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) connect();
  else if (stream) { stream.close(); stream = null; }
});
const again = () => { makeShades(); showCurves(); showFrame(); };
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
addEventListener("resize", again);
makeShades();
connect();
