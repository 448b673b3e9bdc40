// An attempt token by token. Only the chunks near the screen are filled: 100,000 tokens are 200
// places, of which a few have content.

import { element } from "./nodes.js";

const view = document.getElementById("tokens");
const detail = document.getElementById("token");
const count = Number(view.dataset.count);
const size = Number(view.dataset.chunk);
const address = view.dataset.url;
// Height of a chunk that was not drawn yet: 500 tokens of four characters in lines of 90.
const GUESS_PX = 620;
const SHADES = [0.9, 0.6, 0.3, 0.1, 0.02];
// Chunks whose data are kept: about 10 MB.
const KEPT = 60;

const places = [];
const loaded = new Map();
let heights = GUESS_PX;
let drawn = 0;
let at = null;
let hits = [];

const shade = (probability) => (probability === null ? 0 : SHADES.filter((bound) => probability < bound).length);

async function load(number) {
  if (!loaded.has(number)) {
    const asked = fetch(`${address}.json?start=${number * size}`).then((answer) => {
      if (!answer.ok) throw new Error(`tokens: ${answer.status}`);
      return answer.json();
    });
    loaded.set(number, asked);
    asked.catch(() => loaded.delete(number));
    if (loaded.size > KEPT) loaded.delete(loaded.keys().next().value);
  }
  return loaded.get(number);
}

// Tokens that the journal had to leave out have places, so that the others keep theirs.
function missing(position) {
  return element("span", { class: "missing", "data-at": position, title: `${position} is missing` }, ["\u00b7"]);
}

function span(token, position) {
  if (token === null) return missing(position);
  const [id, text, sampled, , probability] = token;
  const node = element("span", { class: sampled ? `p${shade(probability)}` : "given", "data-at": position }, [text]);
  // Without a vocabulary a token is its id; with one, the beginning of a character is a dot.
  if (text === "" && view.dataset.text) node.classList.add("part");
  else if (text === "") node.append(element("span", { class: "id" }, [`⟨${id}⟩`]));
  if (hits.includes(position)) node.classList.add("hit");
  return node;
}

async function fill(place) {
  place.wanted = true;
  if (place.filled) return;
  let tokens;
  try {
    tokens = await load(place.number);
  } catch {
    place.node.textContent = "These tokens could not be read; scroll to try again.";
    return;
  }
  if (!place.wanted || place.filled) return;
  place.filled = true;
  place.node.replaceChildren(...tokens.map((token, index) => span(token, place.number * size + index)));
  place.node.style.height = "";
  place.height = place.node.offsetHeight;
  heights += (place.height - heights) / ++drawn;
  mark();
}

function empty(place) {
  place.wanted = false;
  if (!place.filled) return;
  place.height = place.node.offsetHeight;
  place.filled = false;
  place.node.style.height = `${place.height}px`;
  place.node.replaceChildren();
}

const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const place = places[Number(entry.target.dataset.chunk)];
    if (entry.isIntersecting) fill(place);
    else empty(place);
  }
}, { rootMargin: "150% 0%" });

for (let number = 0; number * size < count; number += 1) {
  const node = element("div", { class: "chunk", "data-chunk": number, dir: "auto" });
  node.style.height = `${GUESS_PX}px`;
  places.push({ number, node, filled: false, wanted: false, height: GUESS_PX });
  view.append(node);
  watcher.observe(node);
}

function mark() {
  for (const old of view.querySelectorAll(".at")) old.classList.remove("at");
  if (at !== null) view.querySelector(`[data-at="${at}"]`)?.classList.add("at");
}

const fact = (name, value) => element("div", {}, [element("dt", {}, [name]), element("dd", {}, [String(value)])]);

function describe(token, position) {
  if (token === null) {
    detail.replaceChildren(element("p", {}, [`Token ${position} is missing from the journal.`]));
    detail.hidden = false;
    return;
  }
  const [id, text, sampled, turn, probability, confidence] = token;
  const facts = [fact("Position", position), fact("Id", id), fact("Turn", turn), fact("Kind", sampled ? "sampled" : "not sampled")];
  if (probability !== null) facts.push(fact("Probability", probability));
  if (confidence !== null) facts.push(fact("Confidence", confidence));
  detail.replaceChildren(element("code", { dir: "auto" }, [JSON.stringify(text)]), element("dl", { class: "facts" }, facts));
  detail.hidden = false;
}

async function go(position, { scroll = true, note = true } = {}) {
  if (!(position >= 0 && position < count)) return;
  at = position;
  const place = places[Math.floor(position / size)];
  if (scroll && !place.filled) place.node.scrollIntoView({ block: "center", behavior: "instant" });
  await fill(place);
  const tokens = await load(place.number);
  if (at !== position) return;
  mark();
  const node = view.querySelector(`[data-at="${position}"]`);
  if (scroll) node?.scrollIntoView({ block: "center", behavior: "instant" });
  describe(tokens[position - place.number * size], position);
  if (note) window.history.replaceState(null, "", `#t=${position}`);
}

function named() {
  const found = /^#t=(\d+)$/.exec(window.location.hash);
  if (found) go(Number(found[1]), { note: false });
}

// The first token that is on the screen, to go on from.
function here() {
  if (at !== null) return at;
  const spans = [...view.querySelectorAll("[data-at]")];
  const first = spans.find((node) => node.getBoundingClientRect().bottom > 0);
  return first ? Number(first.dataset.at) - 1 : -1;
}

async function turn(by) {
  let position = Math.max(here(), 0);
  const turnOf = async (where) => (await load(Math.floor(where / size)))[where % size]?.[3];
  const from = await turnOf(position);
  position += by;
  while (position >= 0 && position < count && (await turnOf(position)) === from) position += by;
  go(Math.min(Math.max(position, 0), count - 1));
}

view.addEventListener("click", (event) => {
  const node = event.target.closest("[data-at]");
  if (node) go(Number(node.dataset.at), { scroll: false });
});

const moves = { n: () => go(here() + 1), p: () => go(here() - 1), j: () => turn(1), k: () => turn(-1) };

// Before the keys of every view, which stand aside for what is handled here.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
  if (document.getElementById("help").open || !Object.hasOwn(moves, event.key)) return;
  event.preventDefault();
  moves[event.key]();
}, { capture: true });

document.getElementById("find").addEventListener("submit", async (event) => {
  event.preventDefault();
  const wanted = document.getElementById("search").value;
  const output = document.getElementById("found");
  if (wanted !== output.dataset.of) {
    const answer = await fetch(`${address.replace(/tokens$/, "find.json")}?${new URLSearchParams({ text: wanted })}`);
    hits = answer.ok ? await answer.json() : [];
    output.dataset.of = wanted;
    for (const node of view.querySelectorAll("[data-at]")) node.classList.toggle("hit", hits.includes(Number(node.dataset.at)));
  }
  const next = hits.find((position) => position > (at ?? -1)) ?? hits[0];
  output.textContent = hits.length === 0 ? "nothing found" : `${hits.indexOf(next) + 1} of ${hits.length}`;
  if (next !== undefined) go(next);
});

window.addEventListener("hashchange", named);
named();
