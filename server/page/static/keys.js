// Keys of every view, the address of the saved view, and the journal's notice.

const HEALTH_EVERY_MS = 5000;
const help = document.getElementById("help");

document.querySelector("[data-help]").addEventListener("click", () => help.showModal());

// The saved view is the one in the address bar: filters and part included.
for (const link of document.querySelectorAll("[data-export]")) {
  const address = new URL(window.location.href);
  address.searchParams.set("export", "1");
  address.hash = "";
  link.href = address.pathname + address.search;
}

// Times as the server writes them, where the reader is.
const parts = new Intl.DateTimeFormat("en-GB", {
  day: "2-digit", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
});
for (const node of document.querySelectorAll("time")) {
  const at = Object.fromEntries(parts.formatToParts(new Date(node.dateTime)).map(({ type, value }) => [type, value]));
  node.textContent = `${at.day} ${at.month.slice(0, 3)} ${at.year}, ${at.hour}:${at.minute}`;
  node.removeAttribute("title");
}

const typing = (target) => target.closest("input, textarea, select, [contenteditable]") !== null;

function step(by) {
  const items = [...document.querySelectorAll("[data-item]")].filter((item) => item.offsetParent);
  if (items.length === 0) return;
  const here = items.findIndex((item) => item.contains(document.activeElement));
  const first = by > 0 ? 0 : items.length - 1;
  const next = here < 0 ? first : Math.min(Math.max(here + by, 0), items.length - 1);
  items[next].focus({ preventScroll: true });
  items[next].scrollIntoView({ block: "nearest" });
}

const follow = (selector) => document.querySelector(selector)?.click();

const actions = {
  j: () => step(1),
  k: () => step(-1),
  n: () => follow("a[rel=next]"),
  p: () => follow("a[rel=prev]"),
  g: () => window.location.assign("/"),
  "/": () => document.getElementById("search")?.focus(),
  "?": () => help.showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (typing(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "Enter" && event.target.matches("[data-item]")) {
    event.target.querySelector("a[href]")?.click();
    return;
  }
  if (help.open || !Object.hasOwn(actions, event.key)) return;
  event.preventDefault();
  actions[event.key]();
});

async function health() {
  if (document.hidden) return;
  const notice = document.getElementById("journal");
  const text = await complaint().catch(() => "The server does not answer; this view shows what it said last.");
  notice.hidden = text === "";
  if (notice.textContent !== text) notice.textContent = text;
}

// A server that was restarted knows no session; one without a journal says nothing of it.
async function complaint() {
  const answer = await fetch("/ready", { headers: { Accept: "application/json" } });
  if (answer.status === 401) return "You are logged out: reload this view to log in again.";
  const { journal } = await answer.json();
  return !journal || journal.ready ? "" : `The journal is ${journal.state}: ${journal.detail}`;
}

setInterval(health, HEALTH_EVERY_MS);
