// Notes how many milliseconds after it was asked for the page has its heading, and waits for nothing any more.
new MutationObserver(() => {
  const isThere = document.querySelector("h1")?.innerText && !document.querySelector(".loading");
  if (!isThere) window.usableAfter = undefined;
  else window.usableAfter ??= performance.now();
}).observe(document, { childList: true, subtree: true, characterData: true });
