// Comfort only; every page works without it: countdowns go on, and what was open stays open when figures are renewed.
"use strict";
(() => {
  const UNITS = [[86400, "day"], [3600, "hour"], [60, "minute"]];

  function words(moment) {
    const seconds = (moment - Date.now()) / 1000;
    const size = Math.abs(seconds);
    const unit = UNITS.find(([least]) => size >= least);
    const number = unit ? Math.floor(size / unit[0]) : Math.floor(size);
    if (seconds >= 60 && seconds < 3600) {
      return `in ${Math.floor(seconds / 60)} min ${String(Math.floor(seconds) % 60).padStart(2, "0")} s`;
    }
    const length = unit ? `${number} ${unit[1]}${number === 1 ? "" : "s"}` : `${number} s`;
    return seconds > 0 ? `in ${length}` : `${length} ago`;
  }

  setInterval(() => {
    for (const each of document.querySelectorAll("time[data-relative]")) {
      const text = words(Date.parse(each.dateTime));
      if (each.textContent !== text) each.textContent = text;
    }
  }, 1000);

  // What was worked out is done: the same address shows it.
  document.addEventListener("htmx:sseClose", (event) => {
    if (event.detail.type === "message") location.reload();
  });

  let open = new Map();
  let focused = "";
  document.addEventListener("htmx:beforeSwap", () => {
    open = new Map([...document.querySelectorAll("details[id]")].map((each) => [each.id, each.open]));
    const active = document.activeElement;
    focused = active && active.closest("#live") && active.getAttribute("href") ? active.getAttribute("href") : "";
  });
  document.addEventListener("htmx:afterSwap", () => {
    for (const [id, was] of open) {
      const details = document.getElementById(id);
      if (details) details.open = was;
    }
    if (focused) {
      const again = [...document.querySelectorAll("#live a")].find((each) => each.getAttribute("href") === focused);
      if (again) again.focus({ preventScroll: true });
    }
  });
})();
