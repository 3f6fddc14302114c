// Search without a server: every word of the question must stand in an entry of the index, which is in the page.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const index = JSON.parse(document.getElementById("search-index").textContent);
  const field = document.querySelector("main input"), list = document.getElementById("found");
  const said = document.getElementById("said"), most = 60;
  const plain = (text) => text.toLowerCase();

  function search() {
    const words = plain(field.value).split(/\s+/).filter(Boolean);
    list.replaceChildren();
    if (!words.length) { said.textContent = ""; return; }
    const found = index.map(([kind, title, address, text]) => ({ kind, title, address, text, in: plain(title) }))
      .filter((entry) => words.every((word) => entry.in.includes(word) || plain(entry.text).includes(word)))
      .map((entry) => ({ ...entry, rank: words.filter((word) => entry.in.includes(word)).length }))
      .sort((one, other) => other.rank - one.rank);
    for (const entry of found.slice(0, most)) {
      const item = document.createElement("li"), link = document.createElement("a"), quiet = document.createElement("span");
      link.href = entry.address;
      link.textContent = entry.title;
      quiet.className = "quiet";
      quiet.textContent = ` ${entry.kind}. ${entry.text}`;
      item.append(link, quiet);
      list.append(item);
    }
    said.textContent = `${found.length} found${found.length > most ? `, the first ${most} of them are shown` : ""}.`;
  }

  field.value = new URLSearchParams(location.search).get("q") ?? "";
  field.addEventListener("input", search);
  search();
});
