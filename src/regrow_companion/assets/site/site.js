// Theme, formulas, and what style sheets and HTML cannot do for a reader at the keyboard. Every page works without it,
// but for formulas and widgets.
"use strict";

const root = document.documentElement;
const remembered = {
  get: () => { try { return localStorage.getItem("theme"); } catch { return null; } },
  set: (theme) => { try { localStorage.setItem("theme", theme); } catch { /* a page from a file may have no memory */ } },
};
if (remembered.get()) root.dataset.theme = remembered.get();

// Formulas stand in prose only, never in code or its output.
window.MathJax = {
  tex: { inlineMath: [["$", "$"], ["\\(", "\\)"]], processEscapes: true },
  svg: { fontCache: "global" },
  options: { enableMenu: false, ignoreHtmlClass: "site", processHtmlClass: "prose" },
};

function addThemeSwitch() {
  const button = document.getElementById("theme");
  const dark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const say = () => { button.textContent = dark() ? "Light" : "Dark"; };
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    remembered.set(root.dataset.theme);
    say();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", say);
  say();
  button.hidden = false;
}

function addFoldSwitch() {
  const button = document.getElementById("fold"), cells = [...document.querySelectorAll("details.source")];
  if (!button || !cells.length) return;
  button.addEventListener("click", () => {
    const open = !cells.some((cell) => cell.open);
    for (const cell of cells) cell.open = open;
    button.textContent = open ? "Fold all code" : "Unfold all code";
  });
  button.hidden = false;
}

// What scrolls sideways can be scrolled by keyboard.
function reachScrollers() {
  for (const box of document.querySelectorAll("pre, .scroll, mjx-container[display]")) {
    if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}

document.addEventListener("DOMContentLoaded", () => {
  addThemeSwitch();
  addFoldSwitch();
  reachScrollers();
  new ResizeObserver(reachScrollers).observe(document.body);
  document.addEventListener("toggle", reachScrollers, true);
});

addEventListener("beforeprint", () => { for (const fold of document.querySelectorAll("details")) fold.open = true; });
