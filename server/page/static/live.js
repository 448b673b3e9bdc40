// A solve while it runs: events are appended as text; nothing in them is ever markup.

import { svg, element, prose } from "./nodes.js";

// A lane keeps about as much as the server renders; the rest is on the attempt's own page.
const LANE_CHARS = 6000;
const CURVES_EVERY_MS = 2500;
const LOOK_EVERY_MS = 2000;
// A lane follows its end while the reader has not scrolled up further than this.
const NEAR_END_PX = 60;

const root = document.getElementById("solve");
const byId = (id) => document.getElementById(id);
const pending = [];
let drawing = false;
let over = root.dataset.live !== "1";
let cut = false;
let source = null;
let last = root.dataset.after;
// Whether the tab has just been come back to, and nothing was heard since.
let returned = false;

function lane(number) {
  const found = byId(`lane-${number}`);
  if (found) return found;
  byId("none")?.remove();
  const path = `${window.location.pathname}/attempts/${number}`;
  const name = number < 0 ? `plan ${-1 - number}` : `attempt ${number}`;
  const title = name[0].toUpperCase() + name.slice(1);
  const made = element("article", { class: "lane", id: `lane-${number}`, "data-item": "", "data-attempt": number, tabindex: -1 }, [
    element("header", {}, [
      element("h3", {}, [element("a", { href: path }, [title])]),
      element("span", { class: "state badge live" }, ["running"]),
      element("span", { class: "answer", dir: "auto" }),
    ]),
    svg("svg", { class: "spark", viewBox: "0 0 240 40", preserveAspectRatio: "none", role: "img", "aria-label": `${title}. Confidence: not recorded` }),
    element("p", { class: "meta" }, [element("span", { class: "sampled" }, ["0"]), " tokens", element("span", { class: "took" })]),
    element("div", { class: "stream", tabindex: 0, role: "region", "aria-label": `What ${name} wrote` }),
    element("footer", {}, [
      element("a", { href: path, "aria-label": `Read ${name}` }, ["Read"]),
      element("a", { href: `${path}/tokens`, "aria-label": `Tokens of ${name}` }, ["Tokens"]),
      element("span", { class: "meta why" }),
    ]),
  ]);
  const after = [...document.querySelectorAll(".lane")].find((other) => Number(other.dataset.attempt) > number);
  byId("lanes").insertBefore(made, after ?? null);
  return made;
}

function block(told) {
  const head = element("h3", {}, [told.name]);
  if (told.status) {
    const bad = told.status === "ok" ? "" : `${told.status} · `;
    head.append(element("span", { class: "meta" }, [` ${bad}${told.seconds}${told.lost ? " · variables lost" : ""}`]));
  }
  const cell = told.kind === "code" || told.kind === "output";
  const body = element(cell ? "pre" : "div", { class: cell ? "" : "text", dir: cell ? "ltr" : "auto" }, [told.text ?? ""]);
  return element("section", { class: `block ${told.kind}`, "data-kind": told.kind, "data-turn": told.turn }, [head, body]);
}

const body = (section) => section.querySelector("pre, .text");

function shorten(text) {
  let size = text.textContent.length;
  while (size > LANE_CHARS && text.firstChild !== text.lastChild) {
    size -= text.firstChild.textContent.length;
    text.firstChild.remove();
  }
  if (size > 2 * LANE_CHARS) text.textContent = text.textContent.slice(-LANE_CHARS);
}

// Settled pieces stay; the open ones are what the next text may still make a formula of.
function write(text, told) {
  if (told.whole) text.replaceChildren();
  let open = text.querySelector(".open");
  if (!open) {
    open = element("span", { class: "open" });
    text.append(open);
  }
  open.before(...prose(told.settled));
  open.replaceChildren(...prose(told.open));
}

function trim(stream) {
  let size = stream.textContent.length;
  while (size > 2 * LANE_CHARS) {
    const first = stream.querySelector(".block");
    if (first !== stream.lastElementChild) {
      size -= first.textContent.length;
      first.remove();
      continue;
    }
    shorten(body(first));
    return;
  }
}

function append(told) {
  const stream = lane(told.attempt).querySelector(".stream");
  const follows = stream.scrollHeight - stream.scrollTop - stream.clientHeight < NEAR_END_PX;
  const last = stream.querySelector(".block:last-child");
  const same = last && last.dataset.kind === told.kind && last.dataset.turn === String(told.turn);
  if (told.do === "text" && same) {
    if (told.settled) write(body(last), told);
    else body(last).append(told.text);
  } else {
    // The code that runs takes the place of what was written of it.
    if (told.do === "block" && told.kind === "code" && same) last.remove();
    const made = block(told);
    if (told.settled) write(body(made), told);
    stream.append(made);
  }
  trim(stream);
  if (follows) stream.scrollTop = stream.scrollHeight;
}

function state(node, told) {
  node.textContent = told.state;
  for (const tone of ["good", "warn", "bad", "live", "plain"]) node.classList.toggle(tone, tone === told.tone);
}

function bars(told) {
  byId("bars").replaceChildren(
    ...told.map((bar) => element("li", { class: bar.chosen ? "chosen" : "" }, [
      element("span", { class: "answer", dir: "auto" }, [bar.answer]),
      svg("svg", { class: "bar", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" }, [
        svg("rect", { width: 100, height: 8, rx: 1 }),
        svg("rect", { class: "fill", width: 100 * bar.share, height: 8, rx: 1 }),
      ]),
      element("span", { class: "meta" }, [`${bar.votes} ${bar.votes === 1 ? "vote" : "votes"}, weight ${bar.weight} · ${bar.votes === 1 ? "attempt" : "attempts"} ${bar.attempts}`]),
    ])),
  );
}

// Thin spaces between thousands, as the server writes them.
const spaced = (count) => count.toLocaleString("en").replaceAll(",", "\u202f");
const counts = new Map();

function count(told) {
  const node = lane(told.attempt).querySelector(".sampled");
  node.textContent = spaced(told.sampled);
  counts.set(told.attempt, told.sampled);
  byId("tokens").textContent = spaced([...counts.values()].reduce((sum, each) => sum + each, 0));
}

const handlers = {
  text(told) {
    append(told);
    count(told);
  },
  block: append,
  lane(told) {
    const at = lane(told.attempt);
    state(at.querySelector(".state"), told);
    if (told.answer !== undefined) at.querySelector(".answer").textContent = told.answer;
    if (told.sampled !== undefined) count(told);
    if (told.seconds) at.querySelector(".took").textContent = ` · ${told.seconds}`;
    if (told.detail) at.querySelector(".why").textContent = told.detail;
  },
  started(told) {
    root.dataset.waited = told.at;
    root.dataset.started = "1";
    root.dataset.limit = told.limit;
    state(byId("state"), { state: "running", tone: "live" });
  },
  resumed() {
    state(byId("state"), { state: "running", tone: "live" });
  },
  limit(told) {
    root.dataset.limit = told.limit;
  },
  ballot(told) {
    bars(told.bars);
    byId("detail").textContent = told.reason;
  },
  finished(told) {
    over = true;
    byId("answer").textContent = told.answer || "–";
    byId("detail").textContent = told.detail;
    byId("used").textContent = told.seconds;
    state(byId("state"), told);
    bars(told.bars);
    byId("cancel")?.remove();
    source?.close();
    curves();
  },
};

// A burst is drawn at once, before the next frame.
function draw() {
  drawing = false;
  for (const told of pending.splice(0)) handlers[told.do](told);
}

function take(event) {
  last = event.lastEventId || last;
  returned = false;
  pending.push(JSON.parse(event.data));
  if (drawing) return;
  drawing = true;
  // A hidden tab draws no frames, and must not pile up.
  if (document.hidden) setTimeout(draw, 0);
  else requestAnimationFrame(draw);
}

const shown = (seconds) => {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${seconds.toFixed(0)} s`;
  return `${Math.floor(seconds / 60)} min ${String(Math.floor(seconds % 60)).padStart(2, "0")} s`;
};

const opened = performance.now();
function tick() {
  if (over || cut) return;
  const age = Number(root.dataset.age) + (performance.now() - opened) / 1000;
  const limit = Number(root.dataset.limit);
  const used = root.dataset.started === "1" ? Math.max(age - Number(root.dataset.waited), 0) : 0;
  byId("used").textContent = shown(used);
  if (limit) {
    byId("limit").textContent = `of ${shown(limit)}`;
    byId("clock").setAttribute("width", Math.min(100 * used / limit, 100));
  }
}

async function curves() {
  const answer = await fetch(`${window.location.pathname}/curves.json`).catch(() => null);
  if (!answer?.ok) return;
  for (const { attempt, points, label } of await answer.json()) {
    const spark = byId(`lane-${attempt}`)?.querySelector(".spark");
    spark?.replaceChildren(svg("title", {}, [label]), svg("line", { x1: 0, y1: 38, x2: 240, y2: 38 }), svg("polyline", { points }));
    spark?.setAttribute("aria-label", label);
  }
}

// Shows what a solve came to whose last events were missed, once there is a server that knows.
async function look() {
  const status = await fetch(window.location.href, { method: "HEAD" }).then((answer) => answer.status, () => 0);
  // Whoever is logged out, as by the server's restart, is led to log in and back.
  if (status === 200 || status === 401) window.location.reload();
  else if (status === 404) byId("detail").textContent = "The server knows nothing of this solve any more.";
  else setTimeout(look, LOOK_EVERY_MS);
}

// The browser comes back by itself, unless it is told that there is no such solve any more: it has
// ended meanwhile, or the server did.
function lose() {
  if (over || source.readyState !== EventSource.CLOSED) return;
  cut = true;
  state(byId("state"), { state: "cut off", tone: "warn" });
  setTimeout(look, returned ? 0 : LOOK_EVERY_MS);
}

function follow() {
  source = new EventSource(`${window.location.pathname}/feed?after=${last}`);
  source.onmessage = take;
  source.onerror = lose;
}

// A browser has six connections to a server for all its tabs: a hidden one must not keep its own.
function attend() {
  if (over || cut) return;
  source?.close();
  returned = !document.hidden;
  if (!document.hidden) follow();
}

for (const node of document.querySelectorAll(".lane")) {
  counts.set(Number(node.dataset.attempt), Number(node.querySelector(".sampled").textContent.replace(/\D/g, "")));
}
for (const stream of document.querySelectorAll(".stream")) stream.scrollTop = stream.scrollHeight;
if (!over) {
  if (!document.hidden) follow();
  document.addEventListener("visibilitychange", attend);
  setInterval(tick, 200);
  setInterval(() => { if (!over && !document.hidden) curves(); }, CURVES_EVERY_MS);
}
