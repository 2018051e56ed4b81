// The page of all connections, as the server tells it in its events.
"use strict";

const view = { words: "", state: "", page: 0 };
function ofAddress() {
  const asked = new URLSearchParams(location.search);
  view.words = asked.get("words") || "";
  view.state = STATES.includes(asked.get("state")) ? asked.get("state") : "";
  view.page = pageOf(asked);
  byId("words").value = view.words;
}

const cards = new Map();
const linked = (account) =>
  make("a", { href: `account?${new URLSearchParams({ id: account })}` }, ...breakable(account));

function drawConnections(snapshot) {
  const list = byId("connections");
  const shown = new Set();
  let place = list.firstElementChild;
  for (const data of snapshot.connections) {
    shown.add(data.account);
    let card = cards.get(data.account);
    if (!card) cards.set(data.account, (card = newCard(data.account, [linked(data.account)])));
    if (card.element !== place) list.insertBefore(card.element, place);
    else place = place.nextElementSibling;
    drawCard(card, data, snapshot.now);
  }
  for (const [account, card] of cards) {
    if (!shown.has(account)) {
      card.element.remove();
      cards.delete(account);
    }
  }
  byId("none").hidden = snapshot.connections.length > 0;
  byId("pages").hidden = snapshot.pages < 2;
  say(byId("page"), `Page ${snapshot.page + 1} of ${snapshot.pages}, ${snapshot.found} connections`);
  allow(byId("before"), snapshot.page > 0);
  allow(byId("after"), snapshot.page + 1 < snapshot.pages);
  view.page = snapshot.page;
}

// The view

function drawStates(states) {
  const set = byId("states");
  if (!set.querySelector("input")) {
    for (const state of ["", ...STATES]) {
      const input = make("input", { type: "radio", name: "state", value: state });
      input.checked = state === view.state;
      input.addEventListener("change", () => look({ state, page: 0 }));
      set.append(make("label", {}, input, make("span", { "data-state": state })));
    }
  }
  const all = STATES.reduce((sum, state) => sum + states[state], 0);
  for (const label of set.querySelectorAll("[data-state]")) {
    const { state } = label.dataset;
    say(label, state ? `${state} ${states[state]}` : `all ${all}`);
  }
}

function draw(snapshot) {
  drawStates(snapshot.states);
  drawConnections(snapshot);
  drawTable(snapshot);
}

function look(change) {
  Object.assign(view, change);
  toAddress(view);
  follow(() => `events?${new URLSearchParams(view)}`, draw);
}

let typing = null;
byId("words").addEventListener("input", (event) => {
  clearTimeout(typing);
  typing = setTimeout(() => look({ words: event.target.value.trim(), page: 0 }), 200);
});
byId("view").addEventListener("submit", (event) => event.preventDefault());
onPress(byId("before"), () => look({ page: view.page - 1 }));
onPress(byId("after"), () => look({ page: view.page + 1 }));
setInterval(() => cards.forEach(tick), 1000);
say(byId("zone"), `Times are in ${zone()}`);
ofAddress();
look({});
