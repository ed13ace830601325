// Saves `props.value` {name, content} as a file; `open`: the page asks before it is closed, since what it shows would be lost.
let open = false;
addEventListener("beforeunload", (event) => { if (open && element.isConnected) event.preventDefault(); });

watch("value", () => {
  const { name, content } = props.value || {};
  open = Boolean((props.value || {}).open);
  if (!name) return;
  const link = document.createElement("a");
  link.download = name;
  link.href = URL.createObjectURL(new Blob([content], { type: "application/json" }));
  link.click();
  URL.revokeObjectURL(link.href);
});
