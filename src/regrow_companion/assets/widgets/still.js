
// Brings the still forms of teaching widgets to life: controls, play and pause. No kernel, no network, no library.
(() => {
  "use strict";

  function element(tag, properties) {
    return Object.assign(document.createElement(tag), properties);
  }

  function liven(form) {
    const { controls, plays, beat, root, images, words, frames } = JSON.parse(form.querySelector("script").textContent);
    const box = form.querySelector(".regrow-controls"), scroller = form.querySelector(".regrow-scroll");
    const picture = form.querySelector(".regrow-picture"), readout = form.querySelector("[role=status]");
    const calm = matchMedia("(prefers-reduced-motion: reduce)");
    const chosen = [], offered = []; // for each control: the words it stands at, and those it offers
    const button = element("button", { type: "button" });
    let timer = 0, latest = 0;

    const inputs = controls.map(({ label, menu }, n) => {
      const id = `regrow-${window.regrowControls = (window.regrowControls ?? 0) + 1}`;
      const input = menu ? element("select", { id }) : element("input", { id, type: "range", step: 1, min: 0 });
      box.append(element("label", { htmlFor: id, textContent: label }), input);
      if (!menu) box.append(element("output", { htmlFor: id }));
      if (n === plays) box.append(button);
      input.addEventListener("input", () => { stop(); move(n, Number(menu ? input.selectedIndex : input.value)); });
      return input;
    });

    function move(n, place) {
      chosen[n] = offered[n][place];
      show();
    }

    // Walks down the tree. What is no longer offered gives way to the start, as it does with Python.
    function show() {
      let node = root;
      inputs.forEach((input, n) => {
        if (offered[n] !== node.words) {
          offered[n] = node.words;
          if (controls[n].menu) input.replaceChildren(...node.words.map((text) => new Option(text)));
          else input.max = node.words.length - 1;
        }
        if (!node.words.includes(chosen[n])) chosen[n] = node.words[node.start];
        const place = node.words.indexOf(chosen[n]);
        if (controls[n].menu) input.selectedIndex = place;
        else {
          input.value = place;
          input.setAttribute("aria-valuetext", chosen[n]);
          input.nextSibling.value = chosen[n];
        }
        node = node.to[place];
      });
      draw(...frames[node]);
    }

    // Both pictures are decoded before they are shown, so that nothing blinks.
    async function draw(under, over, text, alt) {
      const turn = ++latest;
      const pair = [under, over].map((image) => element("img", { src: `data:image/webp;base64,${images[image]}`, alt: "" }));
      pair[0].alt = words[alt];
      await Promise.all(pair.map((image) => image.decode()));
      if (turn !== latest) return;
      picture.replaceChildren(...pair);
      readout.textContent = words[text];
    }

    const place = () => offered[plays].indexOf(chosen[plays]);
    const step = () => move(plays, (place() + 1) % offered[plays].length);
    function say() {
      button.textContent = timer ? "Pause" : calm.matches ? "Next" : "Play";
      button.setAttribute("aria-label", `${button.textContent}: ${controls[plays].label}`);
      readout.setAttribute("aria-live", timer ? "off" : "polite"); // nobody can listen to a film of sentences
    }
    function stop() {
      clearInterval(timer);
      timer = 0;
      say();
    }
    button.addEventListener("click", () => {
      if (timer) return stop();
      step();
      if (calm.matches) return undefined;
      timer = setInterval(() => {
        if (place() === offered[plays].length - 1) stop();
        else step();
      }, beat);
      return say();
    });
    calm.addEventListener("change", stop);

    // What scrolls can be scrolled by keyboard.
    new ResizeObserver(() => {
      if (scroller.scrollWidth > scroller.clientWidth + 1) scroller.tabIndex = 0;
      else scroller.removeAttribute("tabindex");
    }).observe(scroller);
    stop();
    show();
  }

  // A notebook may run this before it shows the form.
  function look(tries) {
    const waiting = [...document.querySelectorAll(".regrow-static:not([data-alive])")];
    for (const form of waiting) {
      form.dataset.alive = "";
      liven(form);
    }
    if (!waiting.length && tries) requestAnimationFrame(() => look(tries - 1));
  }
  look(100);
})();
