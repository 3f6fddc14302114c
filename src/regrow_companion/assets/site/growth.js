// The moving picture of the first page: a dot per neuron, its area the number of connections that enter it. Without this
// script the page shows a still of the end.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const data = JSON.parse(document.getElementById("growth-data").textContent);
  const box = document.getElementById("growth"), slider = box.querySelector("input");
  const button = box.querySelector("button"), epoch = box.querySelector("output");
  for (const part of box.querySelectorAll("[hidden]")) part.hidden = false;
  const last = data.epochs.length - 1, perSecond = 6;
  const panels = data.rules.map((rule, n) => ({
    rule, canvas: box.querySelectorAll("canvas")[n], text: box.querySelectorAll(".said")[n],
    roots: Uint8Array.from(atob(rule.degrees), (character) => character.charCodeAt(0)),
  }));
  const typical = Math.sqrt(data.connections / data.neurons) * data.steps;
  const number = (value) => value.toLocaleString("en");
  let at = 0, before = null;

  function draw(panel) {
    const { canvas, roots, rule } = panel, ratio = window.devicePixelRatio || 1;
    const side = canvas.clientWidth * ratio, cell = side / (data.grid + 2);
    if (canvas.width !== Math.round(side)) canvas.width = canvas.height = Math.round(side);
    const context = canvas.getContext("2d"), frame = Math.floor(at), part = at - frame;
    const here = frame * data.neurons, next = Math.min(frame + 1, last) * data.neurons;
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = rule.colour;
    context.globalAlpha = 0.75;
    for (let neuron = 0; neuron < data.neurons; neuron += 1) {
      const root = roots[here + neuron] * (1 - part) + roots[next + neuron] * part;
      if (root === 0) continue;
      context.beginPath();
      context.arc((neuron % data.grid + 1.5) * cell, (Math.floor(neuron / data.grid) + 1.5) * cell,
        0.4 * cell * root / typical, 0, 2 * Math.PI);
      context.fill();
    }
  }

  function show() {
    const frame = Math.round(at);
    for (const panel of panels) {
      draw(panel);
      panel.text.textContent = `largest hub: ${number(panel.rule.largest[frame])}\n`
        + `neurons at 10 or fewer: ${number(panel.rule.poor[frame])}`;
    }
    slider.value = frame;
    epoch.textContent = frame === 0 ? "before training" : `epoch ${Math.round(data.epochs[frame])} of ${data.epochs[last]}`;
    slider.setAttribute("aria-valuetext", epoch.textContent);
  }

  function step(now) {
    if (before === null) return;
    at = Math.min(last, at + (now - before) / 1000 * perSecond);
    before = now;
    show();
    if (at === last) pause();
    else requestAnimationFrame(step);
  }
  function play() {
    if (at === last) at = 0;
    before = performance.now();
    button.textContent = "Pause";
    requestAnimationFrame(step);
  }
  function pause() {
    before = null;
    button.textContent = at === last ? "Play again" : "Play";
  }

  slider.max = last;
  slider.addEventListener("input", () => { pause(); at = Number(slider.value); show(); });
  button.addEventListener("click", () => (before === null ? play() : pause()));
  new ResizeObserver(show).observe(box);
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) { at = last; pause(); show(); }
  else { show(); setTimeout(play, 1200); }
});
