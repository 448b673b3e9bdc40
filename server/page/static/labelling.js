// An attempt is labelled: a key tags the passage that has the focus, or what is selected in it.

import { element } from "./nodes.js";
import { annotator, ask, keys, save, tell } from "./saying.js";

const view = document.getElementById("passages");
const form = document.getElementById("say");
const reason = document.getElementById("reason");
const TAGS = {
  b: "breakthrough", i: "insight", m: "mistake", q: "questionable",
  o: "missed", w: "wasted", v: "verification", f: "final",
};

const solve = view.dataset.solve;
const attempt = Number(view.dataset.attempt);
let from = null;
let source = null;
let open = null;

const begin = (passage) => Number(passage.dataset.begin);
const end = (passage) => Number(passage.dataset.end);

// The passage that has the focus, or in which something is selected.
function here() {
  const selected = window.getSelection();
  const node = selected.isCollapsed ? document.activeElement : selected.anchorNode;
  const found = (node?.nodeType === Node.TEXT_NODE ? node.parentElement : node)?.closest("[data-begin]");
  if (!found) tell("Go to a passage first: j and k, or a click.");
  return found ?? null;
}

// The tokens of what is selected inside a passage's text, or of all of it.
function tokens(passage) {
  const selected = window.getSelection();
  const text = passage.querySelector(".text").firstChild;
  if (selected.isCollapsed || !text) return [begin(passage), end(passage)];
  const range = selected.getRangeAt(0);
  if (range.startContainer !== text || range.endContainer !== text) return [begin(passage), end(passage)];
  const lengths = passage.dataset.lengths.split(",").map(Number);
  let position = begin(passage);
  let offset = 0;
  let first = null;
  for (const length of lengths) {
    offset += length;
    position += 1;
    if (first === null && offset > range.startOffset) first = position - 1;
    if (offset >= range.endOffset) return [first ?? position - 1, position];
  }
  return [first ?? begin(passage), end(passage)];
}

function mark(name, passage) {
  for (const old of view.querySelectorAll(`.${name}`)) old.classList.remove(name);
  passage?.classList.add(name);
}

function begins(tag) {
  const passage = here();
  if (!passage) return;
  let [first, last] = tokens(passage);
  if (from !== null && from < first) first = from;
  const where = tag === "mistake" ? Math.min(source ?? first, first) : null;
  open = { tag, begin: first, end: last, source: where, passage };
  document.getElementById("tag").textContent = tag;
  document.getElementById("span").textContent = `tokens ${first} to ${last}${where === null ? "" : `, from ${where}`}`;
  form.hidden = false;
  reason.value = "";
  reason.focus();
}

function closes() {
  form.hidden = true;
  open?.passage.focus({ preventScroll: true });
  open = null;
}

function passageOf(position) {
  return [...view.querySelectorAll("[data-begin]")].find((each) => begin(each) <= position && position < end(each));
}

function show(label) {
  const list = passageOf(label.begin)?.querySelector(".said");
  if (!list) return;
  const remove = element("button", { type: "button", class: "quiet", "aria-label": `Take back: ${label.tag}` }, ["take back"]);
  remove.addEventListener("click", () => takeBack(label.id));
  const link = element("a", { href: `/solves/${encodeURIComponent(solve)}/attempts/${attempt}/tokens#t=${label.begin}` }, [`${label.begin} to ${label.end}`]);
  const parts = [element("span", { class: `badge tag-${label.tag}` }, [label.tag]), " ", label.reason, " "];
  const meta = element("span", { class: "meta" }, [`${label.annotator} · `, link, label.source === null ? "" : ` · from ${label.source}`, " "]);
  list.append(element("li", { "data-label": label.id, dir: "auto" }, [...parts, meta, remove]));
}

async function takeBack(id) {
  const done = await ask(`/v1/labels/${encodeURIComponent(id)}`, { method: "DELETE" });
  if (!done) return;
  const item = view.querySelector(`[data-label="${id}"]`);
  const passage = item?.closest("[data-begin]");
  item?.remove();
  passage?.focus({ preventScroll: true });
  tell("Taken back.");
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { passage, ...said } = open;
  const told = await save([{ ...said, solve_id: solve, attempt, problem_id: view.dataset.problem, annotator: annotator(), reason: reason.value }]);
  if (!told) return;
  told.labels.forEach(show);
  tell("Saved.");
  from = source = null;
  mark("from");
  mark("source");
  window.getSelection().removeAllRanges();
  closes();
});

reason.addEventListener("keydown", (event) => {
  if (event.key === "Escape") closes();
});
document.getElementById("cancel").addEventListener("click", closes);

const actions = Object.fromEntries(Object.entries(TAGS).map(([key, tag]) => [key, () => begins(tag)]));
actions.e = () => {
  const passage = here();
  if (!passage) return;
  from = begin(passage);
  mark("from", passage);
  tell(`A span begins at token ${from}; go to where it ends, and tag it.`);
};
actions.s = () => {
  const passage = here();
  if (!passage) return;
  [source] = tokens(passage);
  mark("source", passage);
  tell(`The next mistake comes from token ${source}.`);
};
actions.x = () => {
  const item = here()?.querySelector(".said li:last-child");
  if (item) takeBack(item.dataset.label);
};
keys(actions);

ask(`/v1/labels?${new URLSearchParams({ solve_id: solve, attempt })}`).then((told) => {
  told?.labels.filter((label) => label.alternate === null && Object.values(TAGS).includes(label.tag)).forEach(show);
});
