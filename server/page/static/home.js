// The list of solves that run now.

import { element } from "./nodes.js";

const EVERY_MS = 1500;
const section = document.getElementById("now");
const list = document.getElementById("live");
// Solves that have ended stay in their places, so that nothing goes from under a pointer or a reader;
// the record has them once the view is loaded again.
const ENDED = "ended · open it for its answer";
const MOST_ENDED = 10;

async function refresh() {
  if (document.hidden) return;
  const answer = await fetch("/live.json").catch(() => null);
  if (!answer?.ok) return;
  const solves = await answer.json();
  const items = new Map([...list.children].map((item) => [item.dataset.solve, item]));
  for (const solve of solves) {
    tell(items.get(solve.id) ?? add(solve), solve.told);
    items.delete(solve.id);
  }
  for (const item of items.values()) tell(item, ENDED);
  for (const item of [...items.values()].slice(0, -MOST_ENDED)) item.remove();
  section.hidden = list.children.length === 0;
}

function add({ id, address, problem }) {
  const item = element("li", { "data-item": "", "data-solve": id, tabindex: -1 }, [
    element("a", { href: address, dir: "auto" }, [problem]), " ", element("span", { class: "meta" }),
  ]);
  list.append(item);
  return item;
}

// Only the text changes: a link that is replaced loses the focus, and the click that has begun on it.
function tell(item, text) {
  const told = item.querySelector(".meta");
  if (told.textContent !== text) told.textContent = text;
}

setInterval(refresh, EVERY_MS);
