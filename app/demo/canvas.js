// The canvas: see canvas.py for what `props.value` holds and which events are sent.
const $ = (selector) => element.querySelector(selector);
const frame = $(".canvas-frame"), picture = $(".canvas-picture"), overlay = $(".canvas-overlay"), label = $(".canvas-label");
const status = $(".canvas-status"), bar = $(".canvas-bar"), drawButton = $(".canvas-draw"), clearButton = $(".canvas-clear"), againButton = $(".canvas-again");
const SVG = "http://www.w3.org/2000/svg";
const REACH = 14;  // screen pixels within which a point is meant
const MOVED = 4;   // screen pixels from which a press is a drag
let shown = {};
let drawing = false;  // a finger draws only after the button was pressed, so that it can scroll otherwise
let press = null;     // {start, from: screen position, view: at the start, point: the point that is dragged}
let kept = {};        // the last picture and its key: it is sent once
let sent = 0;         // how often boxes were sent
const html = $(".canvas-html"), stage = $(".canvas-stage"), zoomBar = $(".canvas-zoom");

const screenPx = () => shown.size_wh[0] / Math.max(1, picture.clientWidth);  // picture pixels for each screen pixel
// For the outbox of the review, which sends it.
const act = (what, detail) => document.dispatchEvent(new CustomEvent("review-act", { detail: { what, ...detail } }));
const clamp = (value, most) => Math.min(Math.max(value, 0), most);

function positionOf(event) {
  const r = picture.getBoundingClientRect(), [w, h] = shown.size_wh;
  return [clamp((event.clientX - r.left) * w / r.width, w), clamp((event.clientY - r.top) * h / r.height, h)];
}

function nearest(event) {
  const [x, y] = positionOf(event), reach = REACH * screenPx();
  let best = null, least = reach;
  for (const point of shown.points || []) {
    const distance = Math.hypot(point.x - x, point.y - y);
    if (distance < least) { best = point; least = distance; }
  }
  return best;
}

function add(tag, attributes, parent) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  (parent || overlay).appendChild(node);
  return node;
}

function drawBox(box, index) {
  const [x, y, w, h] = box, unit = screenPx();
  const group = add("g", { class: "canvas-box" });
  add("rect", { x, y, width: w, height: h }, group);
  const close = add("g", {
    class: "canvas-close", role: "button", tabindex: 0, "aria-label": "Remove box " + (index + 1),
    transform: "translate(" + (x + w - 14 * unit) + " " + (y + 14 * unit) + ") scale(" + unit + ")",
  }, group);
  add("circle", { r: 14, class: "canvas-reach" }, close);
  add("circle", { r: 9 }, close);
  add("path", { d: "M-3.5-3.5 3.5 3.5M3.5-3.5-3.5 3.5" }, close);
  const remove = (event) => {
    event.stopPropagation();
    event.preventDefault();
    sendBoxes(shown.boxes.filter((_, other) => other !== index));
  };
  close.addEventListener("pointerdown", remove);
  close.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") remove(event); });
}

function drawRing(point) {
  const unit = screenPx();
  for (const kind of ["canvas-ring-under", "canvas-ring"]) add("circle", { class: kind, cx: point.x, cy: point.y, r: 11 * unit });
}

function drawPoints() {
  const unit = screenPx(), at = Object.fromEntries(shown.points.map((point) => [point.name, point]));
  for (const [a, b, stroke] of shown.links || []) {
    add("line", { class: "canvas-limb", x1: at[a].x, y1: at[a].y, x2: at[b].x, y2: at[b].y, stroke });
  }
  for (const { x, y, colour, hollow } of shown.points) {
    if (!colour) continue;
    add("circle", { class: "canvas-point-under", cx: x, cy: y, r: 5.5 * unit });
    add("circle", hollow
      ? { class: "canvas-point-hollow", cx: x, cy: y, r: 4 * unit, stroke: colour }
      : { class: "canvas-point", cx: x, cy: y, r: 4.5 * unit, fill: colour });
  }
}

function drawName(point) {
  const unit = screenPx(), right = (point.x * picture.clientWidth) / shown.size_wh[0] + view.x < frame.clientWidth - 150;
  const name = add("text", {
    class: "canvas-name", x: point.x + (right ? 16 : -16) * unit, y: point.y + 4 * unit, "font-size": 13 * unit,
    "stroke-width": 4 * unit, "text-anchor": right ? "start" : "end",
  });
  name.textContent = point.name.replaceAll("_", " ");
}

function redraw() {
  if (!shown.picture) return;
  overlay.replaceChildren();
  if (shown.mode === "boxes") (shown.boxes || []).forEach(drawBox);
  if (shown.mode !== "points") return;
  drawPoints();
  const chosen = chosenPoint();
  if (chosen) { drawRing(chosen); drawName(chosen); }
}

// The view of a picture that can be enlarged: screen pixels for each of its own, and where its corner lies in the frame.
let view = { scale: 1, x: 0, y: 0 };
let fitted = "person";  // what the view was fitted to last: the next person's is, too
const LARGEST = 40, STEP = 1.25;
const chosenPoint = () => (shown.points || []).find((point) => point.name === shown.selected);
const zooms = () => shown.mode === "points" && Boolean(shown.picture);

function place(scale, x, y) {
  const [w, h] = shown.size_wh, [fw, fh] = [frame.clientWidth, frame.clientHeight];
  const within = (offset, size, room) => (size <= room ? (room - size) / 2 : Math.min(0, Math.max(room - size, offset)));
  scale = Math.min(Math.max(scale, Math.min(fw / w, fh / h)), LARGEST);
  view = { scale, x: within(x, w * scale, fw), y: within(y, h * scale, fh) };
  Object.assign(stage.style, { left: view.x + "px", top: view.y + "px", width: w * scale + "px", height: h * scale + "px" });
  redraw();
}

function fit(name) {
  fitted = name;
  const [x, y, w, h] = (shown.views || {})[name] || (shown.views || {}).person || [0, 0, ...shown.size_wh];
  const [fw, fh] = [frame.clientWidth, frame.clientHeight], scale = Math.min(fw / Math.max(w, 1), fh / Math.max(h, 1));
  place(scale, fw / 2 - (x + w / 2) * scale, fh / 2 - (y + h / 2) * scale);
  for (const button of zoomBar.querySelectorAll("[data-zoom]")) {
    if (button.dataset.zoom.length > 1) button.setAttribute("aria-pressed", String(button.dataset.zoom === name));
  }
}

function zoom(factor, x, y) {
  const scale = Math.min(Math.max(view.scale * factor, 1e-3), LARGEST), f = scale / view.scale;
  fitted = fitted === "head" ? "head" : "person";
  place(scale, x - (x - view.x) * f, y - (y - view.y) * f);
}

// Round the selected keypoint where it is seen, else round the middle.
function zoomByKey(factor) {
  const point = chosenPoint(), [fw, fh] = [frame.clientWidth, frame.clientHeight];
  const [x, y] = point ? [point.x * view.scale + view.x, point.y * view.scale + view.y] : [fw / 2, fh / 2];
  const seen = x >= 0 && y >= 0 && x <= fw && y <= fh;
  zoom(factor, seen ? x : fw / 2, seen ? y : fh / 2);
}

function bringIntoView() {
  const point = chosenPoint();
  if (!point) return;
  const [fw, fh] = [frame.clientWidth, frame.clientHeight];
  const [x, y] = [point.x * view.scale + view.x, point.y * view.scale + view.y];
  if (x < 8 || y < 8 || x > fw - 8 || y > fh - 8) {
    place(view.scale, fw / 2 - point.x * view.scale, fh / 2 - point.y * view.scale);
  }
}

const PAN = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
function viewKey(event) {
  if (event.altKey || event.ctrlKey) {
    if (!(event.key in PAN)) return false;
    place(view.scale, view.x + PAN[event.key][0] * 60, view.y + PAN[event.key][1] * 60);
    return true;
  }
  if (event.key === "+" || event.key === "=") zoomByKey(STEP);
  else if (event.key === "-") zoomByKey(1 / STEP);
  else if (event.key === "1") fit("person");
  else if (event.key === "2") fit("head");
  else return false;
  return true;
}

zoomBar.addEventListener("click", (event) => {
  const wanted = (event.target.closest("[data-zoom]") || { dataset: {} }).dataset.zoom;
  if (wanted === "+" || wanted === "-") zoomByKey(wanted === "+" ? STEP : 1 / STEP);
  else if (wanted) fit(wanted);
});
frame.addEventListener("wheel", (event) => {
  if (!zooms()) return;
  const r = frame.getBoundingClientRect(), before = view.scale;
  zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)), event.clientX - r.left, event.clientY - r.top);
  if (view.scale !== before) event.preventDefault();  // at the smallest the page scrolls
}, { passive: false });

// Two fingers: the picture follows them.
const fingers = new Map();
let pinch = null;
function pinched() {
  const r = frame.getBoundingClientRect(), [[x0, y0], [x1, y1]] = [...fingers.values()];
  return { apart: Math.max(1, Math.hypot(x1 - x0, y1 - y0)), x: (x0 + x1) / 2 - r.left, y: (y0 + y1) / 2 - r.top };
}
function movePinch() {
  const now = pinched(), scale = pinch.view.scale * (now.apart / pinch.apart);
  const px = (pinch.x - pinch.view.x) / pinch.view.scale, py = (pinch.y - pinch.view.y) / pinch.view.scale;
  place(scale, now.x - px * scale, now.y - py * scale);
}
const lift = (event) => { fingers.delete(event.pointerId); if (fingers.size < 2) pinch = null; };

function sendBoxes(boxes) {
  shown = { ...shown, boxes, provisional: false };
  redraw();
  trigger("boxes", { boxes, number: ++sent });
}

function showLabel(point, event) {
  if (!point) { label.hidden = true; return; }
  const r = frame.getBoundingClientRect();
  label.textContent = point.name.replaceAll("_", " ") + (point.note ? " · " + point.note : "");
  label.hidden = false;
  const left = clamp(event.clientX - r.left, r.width);
  label.style.left = clamp(left - label.offsetWidth / 2, r.width - label.offsetWidth) + "px";
  label.style.top = Math.max(0, event.clientY - r.top - label.offsetHeight - 14) + "px";
}

const mayDraw = (event) => shown.mode === "boxes" && (event.pointerType !== "touch" || drawing);

overlay.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || !shown.picture) return;
  if (zooms() && event.pointerType === "touch") {
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    if (fingers.size === 2) { press = null; pinch = { ...pinched(), view }; redraw(); return; }
  }
  if (shown.mode === "points" || mayDraw(event)) {
    const point = shown.mode === "points" ? nearest(event) : null;
    press = { start: positionOf(event), from: [event.clientX, event.clientY], point, view };
    overlay.setPointerCapture(event.pointerId);
  } else {
    showLabel(nearest(event), event);
  }
});

overlay.addEventListener("pointermove", (event) => {
  if (fingers.has(event.pointerId)) fingers.set(event.pointerId, [event.clientX, event.clientY]);
  if (pinch) { movePinch(); return; }
  if (!press) { if (event.pointerType === "mouse") showLabel(nearest(event), event); return; }
  const [x, y] = positionOf(event);
  redraw();
  if (shown.mode === "boxes") {
    const [x0, y0] = press.start;
    add("rect", {
      class: "canvas-draft", x: Math.min(x, x0), y: Math.min(y, y0), width: Math.abs(x - x0), height: Math.abs(y - y0),
    });
  } else if (press.point) {
    drawRing({ x, y });
  } else {
    place(press.view.scale, press.view.x + event.clientX - press.from[0], press.view.y + event.clientY - press.from[1]);
  }
});

overlay.addEventListener("pointerup", (event) => {
  const ends = pinch !== null;
  lift(event);
  if (!press || ends) { press = null; return; }
  const { start, from, point } = press;
  press = null;
  const [x, y] = positionOf(event);
  const dragged = Math.hypot(event.clientX - from[0], event.clientY - from[1]) > MOVED;
  if (shown.mode === "boxes") {
    const box = [Math.min(x, start[0]), Math.min(y, start[1]), Math.abs(x - start[0]), Math.abs(y - start[1])];
    if (dragged && Math.min(box[2], box[3]) >= 8 * screenPx()) {
      // A first box of one's own replaces the box of the whole picture.
      sendBoxes([...(shown.provisional ? [] : shown.boxes || []), box.map((v) => Math.round(v * 10) / 10)]);
    } else {
      redraw();
    }
  } else if (point && !dragged) {
    act("choose", { name: point.name });
  } else if (point || !dragged) {
    const name = point ? point.name : shown.selected;
    if (name) act("place", { name, x, y, picture: shown.picture_key });
  }
});

overlay.addEventListener("pointercancel", (event) => { lift(event); press = null; redraw(); });
overlay.addEventListener("pointerleave", () => showLabel(null));

drawButton.addEventListener("click", () => {
  drawing = !drawing;
  drawButton.setAttribute("aria-pressed", String(drawing));
  frame.classList.toggle("canvas-drawing", drawing);
});
clearButton.addEventListener("click", () => sendBoxes([]));
againButton.addEventListener("click", () => trigger("again", {}));

// Keys belong to the page while the canvas is seen, nobody is typing and no other control has the keyboard's focus.
const TYPING = "textarea, select, [contenteditable=true], input:not([type=checkbox]):not([type=radio])";
const CONTROL = "button, a, summary, input, [role=tab]";
const LASTING = /^(Arrow|j$|k$|[-+=]$)/i;  // keys that go on while they are held; a decision is one press
const onKey = (event) => {
  if (!element.isConnected) { document.removeEventListener("keydown", onKey); return; }
  if (shown.mode !== "points" || element.offsetParent === null || event.metaKey) return;
  if (event.target.closest && event.target.closest(TYPING)) return;
  if (/^(Enter| )$/.test(event.key) && event.target.closest && event.target.closest(CONTROL)) return;
  if (event.key.startsWith("Arrow") && event.target.closest && event.target.closest("[role=tab]")) return;
  if (event.repeat && !LASTING.test(event.key)) { event.preventDefault(); return; }
  if (zooms() && viewKey(event)) { event.preventDefault(); return; }
  if (event.ctrlKey || event.altKey) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (!(shown.keys || []).includes(key)) return;
  event.preventDefault();
  const shift = event.shiftKey && /^(Arrow|j$|k$)/.test(key) ? "Shift" : "";
  act("key", { key: shift + key, seen: shown.seen || "" });
};
document.addEventListener("keydown", onKey);
// A control that was clicked gives the keyboard back to the picture.
const release = (event) => {
  if (!element.isConnected) { document.removeEventListener("click", release); return; }
  if (shown.mode !== "points" || element.offsetParent === null || event.detail === 0) return;
  const control = event.target.closest && event.target.closest("button, summary, input[type=checkbox], [role=tab]");
  if (control) control.blur();
};
document.addEventListener("click", release);

function showDownloads(downloads) {
  const place = $(".canvas-downloads");
  place.replaceChildren();
  for (const [name, content] of Object.entries(downloads || {})) {
    const link = document.createElement("a");
    link.className = "canvas-save";
    link.download = name;
    link.textContent = "Save " + name.split(".").pop().toUpperCase();
    // An empty content stands for the picture itself: it is not sent twice.
    link.href = content ? URL.createObjectURL(new Blob([content], { type: "application/json" })) : shown.picture;
    place.appendChild(link);
  }
}

function show() {
  for (const link of element.querySelectorAll(".canvas-save")) if (link.href.startsWith("blob:")) URL.revokeObjectURL(link.href);
  const drawnSince = props.value && props.value.answers && props.value.answers < sent ? shown.boxes : null;
  shown = JSON.parse(JSON.stringify(props.value || {}));
  if (drawnSince) shown.boxes = drawnSince;  // their own answer comes next
  const isNew = Boolean(shown.picture);
  if (isNew && shown.picture_key) kept = { key: shown.picture_key, picture: shown.picture };
  if (!isNew && shown.picture_key && shown.picture_key === kept.key) shown.picture = kept.picture;
  html.innerHTML = shown.html || "";
  html.hidden = !shown.html;
  zoomBar.hidden = shown.mode !== "points";
  status.textContent = shown.status || "";
  status.classList.toggle("canvas-error", Boolean(shown.error));
  status.hidden = !shown.status;
  frame.hidden = !shown.picture;
  bar.hidden = (!shown.picture && !shown.downloads) || shown.mode === "points";
  drawButton.hidden = shown.mode !== "boxes";
  clearButton.hidden = shown.mode !== "boxes" || !(shown.boxes || []).length;
  againButton.hidden = !shown.again;
  showDownloads(shown.downloads);
  label.hidden = true;
  // An answer that comes while somebody draws leaves him drawing.
  if (!shown.picture) { press = null; overlay.replaceChildren(); return; }
  frame.dataset.mode = shown.mode;
  overlay.setAttribute("viewBox", "0 0 " + shown.size_wh[0] + " " + shown.size_wh[1]);
  picture.alt = shown.alt || "";
  picture.onload = redraw;
  if (picture.getAttribute("src") !== shown.picture) picture.src = shown.picture;
  if (shown.mode === "points") {
    if (isNew) fit(fitted);
    bringIntoView();
  } else {
    frame.style.aspectRatio = shown.size_wh[0] + " / " + shown.size_wh[1];
    frame.style.setProperty("--ratio", shown.size_wh[0] / shown.size_wh[1]);
  }
  redraw();
}

new ResizeObserver(() => { if (zooms()) fit(fitted); else redraw(); }).observe(frame);
watch("value", show);
show();
