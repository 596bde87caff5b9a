// Steps through a recording, one event at a time. Without this the whole recording is there to read.
"use strict";

(() => {
  const button = (text, press) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.addEventListener("click", press);
    return button;
  };

  for (const figure of document.querySelectorAll("figure.w-trace")) {
    const parts = Array.from(figure.querySelectorAll(".w-part"));
    const events = parts.flatMap(part => Array.from(part.querySelectorAll(".w-lane li")));
    const meaning = new Map(Array.from(figure.querySelectorAll("dt"), word =>
      [word.textContent, word.nextElementSibling.textContent]));

    // How many events are shown; all of them, unless a reader steps.
    let shown = events.length;
    let stepping = false;

    const tell = () => {
      if (!stepping) return "";
      const event = events[shown - 1];
      if (!event) return `Nothing has happened yet; ${events.length} events to come.`;
      const cause = event.closest(".w-part").querySelector(".w-cause").textContent;
      const stage = event.closest(".w-lane").querySelector(".w-stage").textContent;
      const word = event.querySelector("code").textContent;
      return `${shown} of ${events.length}. ${cause}. In ${stage}: ${event.textContent} (${meaning.get(word)}).`;
    };

    const show = count => {
      shown = Math.max(0, Math.min(events.length, count));
      events.forEach((event, n) => {
        event.classList.toggle("w-later", n >= shown);
        event.classList.toggle("w-here", stepping && n === shown - 1);
      });
      for (const part of parts) {
        const begun = events.findIndex(event => part.contains(event)) < shown;
        part.classList.toggle("w-later", !begun);
      }
      figure.classList.toggle("w-stepping", stepping);
      for (const [control, off] of [[previous, shown === 0], [next, shown === events.length]]) {
        control.hidden = !stepping;
        // A button that is disabled would lose the focus.
        control.setAttribute("aria-disabled", String(off));
      }
      whole.hidden = !stepping;
      begin.hidden = stepping;
      now.textContent = tell();
      now.hidden = !stepping;
      if (stepping) events[shown - 1]?.scrollIntoView({ block: "nearest" });
    };

    const begin = button("Step through", () => {
      stepping = true;
      show(0);
      next.focus();
    });
    const previous = button("Previous", () => show(shown - 1));
    const next = button("Next", () => show(shown + 1));
    const whole = button("Show all", () => {
      stepping = false;
      show(events.length);
      begin.focus();
    });
    const now = document.createElement("p");
    now.className = "w-now";
    now.setAttribute("role", "status");

    const stepper = document.createElement("div");
    stepper.className = "w-stepper";
    stepper.setAttribute("role", "group");
    stepper.setAttribute("aria-label", "Step through the recording");
    stepper.append(begin, previous, next, whole, now);
    // mdBook turns the page at these keys.
    stepper.addEventListener("keydown", event => {
      const to = new Map([
        ["ArrowLeft", shown - 1], ["ArrowRight", shown + 1], ["Home", 0], ["End", events.length],
      ]).get(event.key);
      if (!stepping || to === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      event.stopPropagation();
      show(to);
    });
    figure.querySelector("figcaption").after(stepper);
    show(events.length);
  }
})();
