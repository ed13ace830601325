// A click on a tile opens its picture over the page; a click or Escape closes it.
element.addEventListener("click", (event) => {
  const tile = event.target.closest(".tile");
  if (!tile) return;
  const dialog = document.createElement("dialog"), large = document.createElement("img"), small = tile.querySelector("img");
  dialog.className = "enlarged";
  dialog.setAttribute("aria-label", small.alt);
  dialog.tabIndex = 0;
  large.src = small.src;
  large.alt = small.alt;
  dialog.append(large);
  dialog.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
});
