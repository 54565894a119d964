"use strict";
// The warning before a task returns to the queue. The pages work without this script, and show the warning when they are loaded.

const WARNING_MS = 120_000;

function watch(lease) {
  const left = Date.parse(lease.dataset.lease) - Date.parse(lease.dataset.now);
  const warning = lease.parentElement.querySelector("[data-lease-warning]");
  const sentence = warning.textContent;
  let timers = [];
  const start = () => {
    timers.forEach(clearTimeout);
    timers = [
      setTimeout(() => { warning.hidden = false; }, Math.max(0, left - WARNING_MS)),
      setTimeout(() => { warning.textContent = "It is in the queue again."; }, left),
    ];
  };
  start();
  document.addEventListener("draft-saved", () => {  // a saved draft renews the lease
    warning.hidden = true;
    warning.textContent = sentence;
    start();
  });
}

document.querySelectorAll("[data-lease]").forEach(watch);
