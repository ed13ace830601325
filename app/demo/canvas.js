// The canvas: see canvas.py for what `props.value` holds and which events are sent.
const $ = (selector) => element.querySelector(selector);
const frame = $(".canvas-frame"), picture = $(".canvas-picture"), overlay = $(".canvas-overlay"), label = $(".canvas-label");
const status = $(".canvas-status"), bar = $(".canvas-bar"), drawButton = $(".canvas-draw"), clearButton = $(".canvas-clear");
const SVG = "http://www.w3.org/2000/svg";
const REACH = 14;  // screen pixels within which a point is meant
const MOVED = 4;   // screen pixels from which a press is a drag
let shown = {};
let drawing = false;  // a finger draws only after the button was pressed, so that it can scroll otherwise
let press = null;     // {start, from: screen position, point: the point that is dragged}

const screenPx = () => shown.size_wh[0] / Math.max(1, picture.clientWidth);  // picture pixels for each screen pixel
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
  for (const kind of ["canvas-ring-under", "canvas-ring"]) add("circle", { class: kind, cx: point.x, cy: point.y, r: 10 * unit });
}

function redraw() {
  if (!shown.picture) return;
  overlay.replaceChildren();
  if (shown.mode === "boxes") (shown.boxes || []).forEach(drawBox);
  const chosen = (shown.points || []).find((point) => point.name === shown.selected);
  if (shown.mode === "points" && chosen) drawRing(chosen);
}

function sendBoxes(boxes) {
  shown = { ...shown, boxes, provisional: false };
  redraw();
  trigger("boxes", { boxes });
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
  if (shown.mode === "points" || mayDraw(event)) {
    const point = shown.mode === "points" ? nearest(event) : null;
    press = { start: positionOf(event), from: [event.clientX, event.clientY], point };
    if (event.pointerType !== "touch" || shown.mode === "boxes") overlay.setPointerCapture(event.pointerId);
  } else {
    showLabel(nearest(event), event);
  }
});

overlay.addEventListener("pointermove", (event) => {
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
  }
});

overlay.addEventListener("pointerup", (event) => {
  if (!press) return;
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
    trigger("choose", { name: point.name });
  } else if (point || !dragged) {
    const name = point ? point.name : shown.selected;
    if (name) trigger("place", { name, x, y });
  }
});

overlay.addEventListener("pointercancel", () => { press = null; redraw(); });
overlay.addEventListener("pointerleave", () => showLabel(null));

drawButton.addEventListener("click", () => {
  drawing = !drawing;
  drawButton.setAttribute("aria-pressed", String(drawing));
  frame.classList.toggle("canvas-drawing", drawing);
});
clearButton.addEventListener("click", () => sendBoxes([]));

// Keys belong to the page while the canvas is seen and nobody is typing.
const typing = (node) => node && (node.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(node.tagName));
const onKey = (event) => {
  if (!element.isConnected) { document.removeEventListener("keydown", onKey); return; }
  if (shown.mode !== "points" || element.offsetParent === null || typing(event.target)) return;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (!(shown.keys || []).includes(key)) return;
  event.preventDefault();
  trigger("shortcut", { key: event.shiftKey && key.startsWith("Arrow") ? "Shift" + key : key });
};
document.addEventListener("keydown", onKey);

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
  shown = JSON.parse(JSON.stringify(props.value || {}));
  status.textContent = shown.status || "";
  status.classList.toggle("canvas-error", Boolean(shown.error));
  status.hidden = !shown.status;
  frame.hidden = !shown.picture;
  bar.hidden = !shown.picture && !shown.downloads;
  drawButton.hidden = shown.mode !== "boxes";
  clearButton.hidden = shown.mode !== "boxes" || !(shown.boxes || []).length;
  showDownloads(shown.downloads);
  label.hidden = true;
  // An answer that comes while somebody draws leaves him drawing.
  if (!shown.picture) { press = null; overlay.replaceChildren(); return; }
  frame.dataset.mode = shown.mode;
  frame.style.aspectRatio = shown.size_wh[0] + " / " + shown.size_wh[1];
  frame.style.setProperty("--ratio", shown.size_wh[0] / shown.size_wh[1]);
  overlay.setAttribute("viewBox", "0 0 " + shown.size_wh[0] + " " + shown.size_wh[1]);
  picture.alt = shown.alt || "";
  picture.onload = redraw;
  picture.src = shown.picture;
  redraw();
}

new ResizeObserver(redraw).observe(frame);
watch("value", show);
show();
