// The queue of the desk: keys, and numbers that stay current.
// Every page works without this script.
"use strict";

const REFRESH_MS = 15_000;
const IDLE_MS = 300_000; // an unattended page must not keep the session of the agent alive

function move(step) {
  const links = [...document.querySelectorAll(".task h2 a")];
  const current = links.findIndex((link) => link.closest(".task").contains(document.activeElement));
  const next = links[current < 0 ? (step > 0 ? 0 : links.length - 1) : current + step];
  if (next) next.focus();
}

const KEYS = {
  n: () => document.querySelector("[data-next]")?.requestSubmit(),
  "/": () => document.getElementById("q")?.focus(),
  j: () => move(1),
  k: () => move(-1),
};

function areKeysOff() {
  try { return localStorage.getItem("desk-keys-off") !== null; } catch { return false; }  // the switch is on the case screen
}

document.addEventListener("keydown", (event) => {
  const isTyping = event.target.closest("input, textarea, select, [contenteditable]");
  const action = KEYS[event.key];
  if (!action || isTyping || areKeysOff() || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  event.preventDefault();
  action();
});

let usedAt = Date.now();
for (const name of ["keydown", "pointerdown", "scroll"]) {
  addEventListener(name, () => { usedAt = Date.now(); }, { passive: true });
}

async function refresh() {
  if (document.hidden || Date.now() - usedAt > IDLE_MS) return;
  const response = await fetch("/tasks/counts", { redirect: "error" });
  if (!response.ok) return;
  const { views, sellers } = await response.json();
  for (const shown of document.querySelectorAll("[data-view]")) shown.textContent = views[shown.dataset.view];
  for (const option of document.querySelectorAll("[data-seller]")) {
    const { seller } = option.dataset;
    if (seller in sellers) option.textContent = `${seller} (${sellers[seller]})`;
  }
}

if (document.querySelector("[data-view]")) setInterval(() => refresh().catch(() => {}), REFRESH_MS);
