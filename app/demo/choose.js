// Buttons of a list: `choose` {index} or {name}, whichever the button has.
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-index], [data-name]");
  if (button) trigger("choose", { ...button.dataset });
});
