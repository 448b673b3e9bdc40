// A click on a token puts its own address into the address bar: row, stretch and place.

document.getElementById("main").addEventListener("click", (event) => {
  const node = event.target.closest("pre span[id]");
  const found = /^b(\d+)t(\d+)$/.exec(node?.id ?? "");
  if (!found) return;
  const address = new URL(window.location.href);
  address.searchParams.set("at", found[1]);
  address.hash = node.id;
  window.history.replaceState(null, "", address);
  for (const old of document.querySelectorAll("pre .at")) old.classList.remove("at");
  node.classList.add("at");
});
