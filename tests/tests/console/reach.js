// What keeps somebody from using the page: a list of sentences.
const found = [];
const root = document.querySelector("dialog[open]") ?? document;
const seen = (element) => element.getClientRects().length > 0;
const name = (element) => {
  const by = element.getAttribute("aria-labelledby");
  return (
    element.getAttribute("aria-label") ||
    (by && by.split(" ").map((id) => document.getElementById(id)?.textContent).join(" ")) ||
    [...(element.labels ?? [])].map((label) => label.textContent).join(" ") ||
    element.textContent
  ).trim();
};
for (const element of root.querySelectorAll("button, a[href], input, select, textarea, dialog[open], nav, table")) {
  const isTable = element.matches("table");
  const said = isTable ? (element.caption?.textContent ?? element.closest("details")?.textContent ?? "") : name(element);
  if (seen(element) && !said) found.push(`without a name: ${element.outerHTML.slice(0, 120)}`);
}
const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
for (const id of ids) {
  if (ids.indexOf(id) !== ids.lastIndexOf(id)) found.push(`twice: #${id}`);
}
for (const element of document.querySelectorAll("[aria-describedby], [aria-controls], [aria-labelledby]")) {
  for (const attribute of ["aria-describedby", "aria-controls", "aria-labelledby"]) {
    for (const id of (element.getAttribute(attribute) ?? "").split(" ").filter(Boolean)) {
      if (!ids.includes(id) && seen(element)) found.push(`${attribute} names #${id}, which isn't there`);
    }
  }
}
if (document.querySelectorAll("h1").length !== 1) found.push(`${document.querySelectorAll("h1").length} headings of the first level`);
if (!document.documentElement.lang) found.push("no language");
if (!document.title) found.push("no title");
const page = document.scrollingElement;
if (page.scrollWidth > window.innerWidth + 1) {
  const wide = [...document.querySelectorAll("body *")].filter((element) => element.getBoundingClientRect().right > window.innerWidth + 1);
  found.push(`wider than the screen: ${page.scrollWidth} > ${window.innerWidth}: ${wide.slice(0, 3).map((element) => element.outerHTML.slice(0, 80))}`);
}
// WCAG 2.2, 2.5.8: 24 by 24, but links within a text.
for (const element of root.querySelectorAll("button, nav a, select, input:not([type=checkbox])")) {
  const box = element.getBoundingClientRect();
  if (seen(element) && !element.classList.contains("link") && (box.width < 24 || box.height < 24)) {
    found.push(`${name(element)} is only ${Math.round(box.width)} by ${Math.round(box.height)}`);
  }
}
return found;
