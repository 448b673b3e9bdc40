// Continuations are compared: a key gives the one that has the focus its verdict.

import { annotator, keys, save, tell } from "./saying.js";

const view = document.getElementById("continuations");
const reason = document.getElementById("reason");
const TONES = { better: "good", neutral: "plain", worse: "bad" };

const lanes = () => [...view.querySelectorAll("[data-item]")];

function judge(verdict) {
  const lane = document.activeElement.closest("[data-item]") ?? view.querySelector("[data-item]");
  lane.focus();
  lane.dataset.verdict = verdict;
  const badge = lane.querySelector(".verdict");
  badge.textContent = verdict;
  badge.className = `badge verdict ${TONES[verdict]}`;
}

document.getElementById("say").addEventListener("submit", async (event) => {
  event.preventDefault();
  const begin = Number(view.dataset.begin);
  const labels = lanes().map((lane) => ({
    solve_id: view.dataset.solve,
    attempt: Number(view.dataset.attempt),
    problem_id: view.dataset.problem,
    alternate: lane.dataset.alternate === "" ? null : Number(lane.dataset.alternate),
    annotator: annotator(),
    tag: lane.dataset.verdict ?? "neutral",
    begin,
    end: Number(lane.dataset.end),
    reason: reason.value,
  }));
  if (!(await save(labels))) return;
  tell("Saved.");
  const next = document.querySelector("a[rel=next]");
  if (next) next.click();
});

reason.addEventListener("keydown", (event) => {
  if (event.key === "Escape") reason.blur();
});

keys({
  b: () => judge("better"),
  e: () => judge("neutral"),
  w: () => judge("worse"),
  s: () => reason.focus(),
});
