// The list of solves that run now.

import { element } from "./nodes.js";

const EVERY_MS = 1500;
const section = document.getElementById("now");
const list = document.getElementById("live");
let shown = "";

async function refresh() {
  if (document.hidden) return;
  const answer = await fetch("/live.json").catch(() => null);
  if (!answer?.ok) return;
  const text = await answer.text();
  // What has the focus must not be replaced for nothing.
  if (text === shown) return;
  shown = text;
  const focused = document.activeElement?.closest("[data-solve]")?.dataset.solve;
  const solves = JSON.parse(text);
  section.hidden = solves.length === 0;
  list.replaceChildren(
    ...solves.map(({ id, address, problem, told }) =>
      element("li", { "data-item": "", "data-solve": id, tabindex: -1 }, [
        element("a", { href: address, dir: "auto" }, [problem]), " ",
        element("span", { class: "meta" }, [told]),
      ])),
  );
  if (focused) [...list.children].find((item) => item.dataset.solve === focused)?.focus();
}

setInterval(refresh, EVERY_MS);
