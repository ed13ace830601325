// What Material leaves out: a name of the search dialog, and the keyboard's way into parts that scroll sideways.
const SCROLLS = ".md-typeset__scrollwrap, .highlight-ipynb, .jp-RenderedText, .jp-RenderedHTMLCommon";
document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
const reach = () => document.querySelectorAll(SCROLLS).forEach((part) => { part.tabIndex = 0; });
new MutationObserver(reach).observe(document.body, { childList: true, subtree: true });
reach();
