// The list of keypoints: its buttons choose one.
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-name]");
  const detail = { what: "choose", name: button && button.dataset.name };
  if (button) document.dispatchEvent(new CustomEvent("review-act", { detail }));
});
