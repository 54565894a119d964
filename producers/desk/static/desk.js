"use strict";
// The page works without this script. The script adds keys, and saves the draft of a decision while the agent types.

// Keys: a letter alone presses the control with this data-key, while no field has the focus.
const FIELDS = "input:not([type=radio], [type=checkbox]), textarea, select";
const KEYS_OFF = "desk-keys-off";
const keysSwitch = document.querySelector("[data-keys-switch]");

function stored(name) {
  try { return localStorage.getItem(name); } catch { return null; }  // the browser may refuse the storage
}

function store(name, value) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
    return true;
  } catch { return false; }
}

function showKeysSwitch() {
  const isOff = stored(KEYS_OFF) !== null;
  keysSwitch.setAttribute("aria-pressed", String(isOff));
}

if (keysSwitch) {
  showKeysSwitch();
  keysSwitch.addEventListener("click", () => {
    store(KEYS_OFF, stored(KEYS_OFF) === null ? "off" : null);
    showKeysSwitch();
  });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || event.repeat || event.isComposing) return;
  if (!/^[a-z]$/.test(event.key) || document.activeElement?.matches(FIELDS) || stored(KEYS_OFF) !== null) return;
  const target = document.querySelector(`[data-key="${event.key}"]`);
  if (!target) return;
  event.preventDefault();
  target.click();
  target.control?.focus();
});

// Drafts: what the agent types is kept in this browser at once, and on the server after a pause in typing.
const form = document.querySelector("form[data-draft]");
if (form) keepDraft(form);

function keepDraft(form) {
  const PAUSE = 1500, RETRY = 10000;  // milliseconds
  const name = `draft ${form.dataset.draft}`;
  const status = form.querySelector("[data-draft-status]");
  let base = form.dataset.savedAt, timer = null, isChanged = false, isSent = false;

  const typed = () => Object.fromEntries([...new FormData(form)].filter(([field, value]) =>
    value && /^(choice|amount|reference|was_made|refund_id|message|reason|item\..*)$/.test(field)));
  const keep = (isSent) => store(name, JSON.stringify({ base, fields: typed(), revision: form.elements.revision.value, isSent }));

  function fill(fields) {
    for (const field of form.elements) {
      if (field.type === "radio" && /^(choice|was_made)$/.test(field.name)) field.checked = fields[field.name] === field.value;
      else if (/^(text|textarea)$/.test(field.type)) field.value = fields[field.name] ?? "";
    }
  }

  async function save() {
    clearTimeout(timer);
    if (!isChanged || isSent) return;
    isChanged = false;
    const body = new URLSearchParams(new FormData(form));
    body.set("do", "autosave");
    try {
      const response = await fetch(form.getAttribute("action"), { method: "POST", body, keepalive: true, redirect: "error" });
      if (response.status !== 204) throw new Error(String(response.status));
      base = response.headers.get("draft-saved-at") || base;
      if (isSent) return;
      if (isChanged) keep(false);
      else store(name, null);
      status.textContent = "Your draft is saved.";
      document.dispatchEvent(new Event("draft-saved"));
    } catch {
      isChanged = true;
      status.textContent = keep(isSent)
        ? "Your draft can’t be saved on the server now. It is kept in this browser, and is saved as soon as possible."
        : "Your draft can’t be saved now. Don’t close this page before you have copied it.";
      if (!isSent) timer = setTimeout(save, RETRY);
    }
  }

  function restore() {
    const kept = JSON.parse(stored(name) ?? "null");
    if (!kept || (kept.isSent && kept.revision !== form.elements.revision.value)) return store(name, null);
    if (JSON.stringify(kept.fields) === JSON.stringify(typed())) return store(name, null);
    if (kept.base !== base) return offer(kept);
    fill(kept.fields);
    status.textContent = "What you typed before was kept in this browser. It is in the form again.";
    isChanged = true;
    return save();
  }

  function offer(kept) {
    status.textContent = "This browser also kept another text of yours about this case. ";
    const button = document.createElement("button");
    button.type = "button";
    button.className = "link";
    button.textContent = "Use that text";
    button.addEventListener("click", () => {
      fill(kept.fields);
      status.textContent = "The other text is in the form.";
      isChanged = true;
      save();
    });
    status.append(button);
  }

  form.addEventListener("input", () => {
    isChanged = true;
    keep(false);
    clearTimeout(timer);
    timer = setTimeout(save, PAUSE);
  });
  form.addEventListener("submit", () => {
    isSent = true;
    clearTimeout(timer);
    keep(true);
  });
  addEventListener("pageshow", (event) => { if (event.persisted) isSent = false; });
  addEventListener("pagehide", save);
  if (form.hasAttribute("data-typed")) keep(false);
  else restore();
}
