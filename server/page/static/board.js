// The board of an open run is loaded again when something on it has changed.

const EVERY_MS = 3000;
const board = document.getElementById("board");

async function look() {
  if (document.hidden) return;
  const answer = await fetch(`${window.location.pathname}/state.json`).catch(() => null);
  if (!answer?.ok) return;
  const { state } = await answer.json();
  if (state !== board.dataset.state) window.location.reload();
}

if (board.dataset.open === "1") setInterval(look, EVERY_MS);
