// Sends a reviewer's actions (`review-act` {what, …}) in the order they were made, one request at a time: two that are
// under way together may overtake one another, and so may their answers. What is done meanwhile goes with the next one.
let waiting = [], under_way = false;
const on = (name, listener) => {
  const heard = (event) => (element.isConnected ? listener(event.detail) : document.removeEventListener(name, heard));
  document.addEventListener(name, heard);
};
function send() {
  if (under_way) return;
  under_way = waiting.length > 0;
  if (under_way) trigger("act", { actions: waiting.splice(0) });
  else document.dispatchEvent(new CustomEvent("review-idle"));
}
on("review-act", (action) => { waiting.push(action); send(); });
on("review-answered", () => { under_way = false; send(); });
