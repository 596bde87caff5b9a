// What mdBook's pages lack for keyboards and screen readers, and the copy buttons of listings.
"use strict";

(() => {
  // The sidebar's toggle is a label, which no key reaches: a button presses it. (Not its checkbox:
  // mdBook shows the sidebar, before it slides in, when the label is pressed.)
  const label = document.getElementById("mdbook-sidebar-toggle");
  const box = document.getElementById("mdbook-sidebar-toggle-anchor");
  if (label && box) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "icon-button w-sidebar-toggle";
    button.title = "Table of contents";
    button.setAttribute("aria-label", "Table of contents");
    button.setAttribute("aria-controls", "mdbook-sidebar");
    button.append(...Array.from(label.childNodes, node => node.cloneNode(true)));
    const mirror = () => button.setAttribute("aria-expanded", String(box.checked));
    button.addEventListener("click", () => label.click());
    box.addEventListener("change", mirror);
    mirror();
    label.before(button);
    // What a label may not have.
    for (const name of ["aria-label", "aria-controls", "aria-expanded"]) label.removeAttribute(name);
    new MutationObserver(() => {
      if (label.hasAttribute("aria-expanded")) label.removeAttribute("aria-expanded");
      mirror();
    }).observe(label, { attributes: true });
  }

  document.getElementById("mdbook-menu-bar")?.setAttribute("role", "banner");
  document.querySelector(".menu-title")?.setAttribute("role", "presentation");

  // What scrolls is reached by the keyboard.
  for (const code of document.querySelectorAll("pre > code")) {
    if (!code.closest(".w-run")) code.tabIndex = 0;
  }
  for (const wide of document.querySelectorAll(".table-wrapper, .w-table, .w-picture")) {
    wide.tabIndex = 0;
  }
  // The corner of a table is no header of anything.
  for (const corner of document.querySelectorAll("main th:empty")) {
    corner.replaceWith(document.createElement("td"));
  }
  for (const item of document.querySelectorAll("li > input[type=checkbox]")) {
    item.setAttribute("aria-label", item.parentElement.textContent.trim());
  }

  // Copies what is there now: deleted lines are left behind.
  const text = figure => Array.from(figure.querySelectorAll(".l"))
    .filter(line => line.tagName !== "DEL")
    .map(line => line.textContent)
    .join("");
  for (const figure of document.querySelectorAll("figure.w-listing, figure.w-step")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "w-copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text(figure));
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    figure.querySelector("figcaption")?.append(button);
  }

  // A fold that holds the place to which a link leads is opened.
  const open = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let fold = target?.closest("details"); fold; fold = fold.parentElement?.closest("details")) {
      fold.open = true;
    }
  };
  window.addEventListener("hashchange", open);
  open();
})();
