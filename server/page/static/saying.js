// What both labelling views share: who labels, what the server says, and the requests.

const KEY = "quorum-annotator";
const name = document.getElementById("annotator");
const told = document.getElementById("told");

name.value = window.localStorage.getItem(KEY) ?? "";
name.addEventListener("change", () => window.localStorage.setItem(KEY, name.value.trim()));
document.getElementById("who").addEventListener("submit", (event) => {
  event.preventDefault();
  name.blur();
});

export const annotator = () => name.value.trim();

export function tell(text) {
  told.textContent = text;
}

export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { headers: { "Content-Type": "application/json", Accept: "application/json" }, ...options });
  } catch {
    tell("The server does not answer; nothing was saved.");
    return null;
  }
  if (answer.ok) return answer.status === 204 ? {} : answer.json();
  const problem = await answer.json().catch(() => ({}));
  tell(problem.detail ?? `The server answered with ${answer.status}.`);
  return null;
}

export const save = (labels) => ask("/v1/labels", { method: "POST", body: JSON.stringify({ labels }) });

// Keys that a view has for itself, before those of every view.
export function keys(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
    if (document.getElementById("help").open || !Object.hasOwn(actions, event.key)) return;
    event.preventDefault();
    actions[event.key]();
  }, { capture: true });
}
