// What is said to people: notices that go away, a line for screen readers, and the question for an API key.

const notices = document.getElementById("notices");
const spoken = document.getElementById("spoken");

/** A notice; an `error` stays until it is closed or another of its `name` comes. */
export function say(text, { kind = "note", title = "", name = "" } = {}) {
  if (name) hush(name);
  const notice = document.createElement("div");
  notice.className = `notice ${kind}`;
  notice.dataset.name = name;
  notice.role = kind === "error" ? "alert" : "status";
  const words = document.createElement("p");
  if (title) words.append(Object.assign(document.createElement("strong"), { textContent: `${title}. ` }));
  words.append(text);
  const close = Object.assign(document.createElement("button"), { className: "close", textContent: "×", ariaLabel: "Close this notice" });
  close.addEventListener("click", () => notice.remove());
  notice.append(words, close);
  notices.append(notice);
  if (kind !== "error") setTimeout(() => notice.remove(), 6000);
  return words;
}

export function hush(name) {
  for (const notice of notices.querySelectorAll(`[data-name="${name}"]`)) notice.remove();
}

/** For screen readers alone. */
export function announce(text) {
  spoken.textContent = text;
}

/** Tells an error; those of an answer that nobody waits for any more are none. */
export function tell(error, name = "error") {
  if (error.name === "AbortError") return;
  say(error.message, { kind: "error", title: error.title ?? "", name });
  if (error.title === undefined) console.error(error);
}

export function askKey(wasWrong) {
  const dialog = document.getElementById("key-dialog");
  const field = dialog.querySelector("input");
  dialog.querySelector("[data-wrong]").hidden = !wasWrong;
  field.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "ok" ? field.value.trim() : null), { once: true });
  });
}
