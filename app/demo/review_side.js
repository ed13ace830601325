// Beside the picture: counts, filter and jump; the outbox of the review sends what is chosen.
const $ = (selector) => element.querySelector(selector);
const jump = $("[data-jump]"), selects = { question: $("[data-filter=question]"), keypoint: $("[data-filter=keypoint]") };

const act = (what, detail) => document.dispatchEvent(new CustomEvent("review-act", { detail: { what, ...detail } }));

// A choice that may not be answered yet: what an earlier answer holds does not replace it.
let chosen = null;

function fill(select, options, value) {
  const wanted = JSON.stringify(options);
  if (select.dataset.options !== wanted) {
    select.dataset.options = wanted;
    select.replaceChildren(...options.map(([key, text]) => new Option(text, key)));
  }
  select.value = value;
}

function show() {
  const now = props.value || {}, counts = now.counts || [];
  if (!now.questions) return;
  const { question, keypoint } = chosen || now;
  fill(selects.question, now.questions, question);
  fill(selects.keypoint, now.keypoints, keypoint);
  $(".side-person").textContent = now.person;
  $(".side-counts").replaceChildren(...counts.map(([name, number]) => {
    const cell = document.createElement("div"), term = document.createElement("dt"), value = document.createElement("dd");
    cell.dataset.count = name;
    term.textContent = name;
    value.textContent = number.toLocaleString("en");
    cell.append(value, term);
    return cell;
  }));
  const of = Object.fromEntries(counts);
  $(".side-bar i").style.width = (of.total ? (100 * of.decided) / of.total : 0) + "%";
  $(".side-left").textContent = now.left_out;
  $(".side-left").hidden = !now.left_out;
}

// A choice by mouse or finger gives the keyboard back to the picture; by keyboard Enter or Escape does.
let pointed = false;
for (const select of Object.values(selects)) {
  select.addEventListener("pointerdown", () => { pointed = true; });
  select.addEventListener("keydown", (event) => {
    pointed = false;
    event.stopPropagation();
    if (event.key === "Enter" || event.key === "Escape") { event.preventDefault(); select.blur(); }
  });
  select.addEventListener("change", () => {
    chosen = { question: selects.question.value, keypoint: selects.keypoint.value };
    act("filter", chosen);
    if (pointed) select.blur();
  });
}
jump.addEventListener("keydown", (event) => {
  event.stopPropagation();
  if (event.key === "Enter" && jump.value.trim()) act("jump", { to: jump.value });
  if (event.key === "Enter" || event.key === "Escape") { jump.value = ""; jump.blur(); }
});
const FOCUS = { g: jump, q: selects.question, x: selects.keypoint };
const onKey = (event) => {
  if (!element.isConnected) { document.removeEventListener("keydown", onKey); return; }
  if (element.offsetParent === null || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest && event.target.closest("textarea, select, input:not([type=checkbox]):not([type=radio])")) return;
  const control = FOCUS[event.key.toLowerCase()];
  if (control) { event.preventDefault(); control.focus(); }
};
document.addEventListener("keydown", onKey);

const onIdle = () => {
  if (!element.isConnected) { document.removeEventListener("review-idle", onIdle); return; }
  chosen = null;
  show();
};
document.addEventListener("review-idle", onIdle);
watch("value", show);
show();
