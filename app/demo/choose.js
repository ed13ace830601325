// Buttons of a list: `choose` {index}.
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-index]");
  if (button) trigger("choose", { index: button.dataset.index });
});
