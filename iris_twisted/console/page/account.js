// The page of one account, which stands in the address.
"use strict";

const id = new URLSearchParams(location.search).get("id") || "";
let card = null;

function cell(label, ...children) {
  return make("td", { role: "cell", "data-label": label }, ...children);
}

// What did not change stays, so that it can be selected and read.
function fill(name, lines, draw) {
  const place = byId(name);
  // At midnight times get their day.
  const text = JSON.stringify([lines, new Date().toDateString()]);
  if (place.dataset.text !== text) {
    place.dataset.text = text;
    (place.tBodies ? place.tBodies[0] : place).replaceChildren(...lines.map(draw));
  }
  place.hidden = !lines.length;
  byId(`${name}-none`).hidden = lines.length > 0;
}

function drawPast(states) {
  const lines = states.map(([since, state], index) => {
    const next = states[index + 1];
    return [since, state, next ? span(next[0] - since) : ""];
  });
  fill("states", lines.reverse(), ([since, state, length]) => {
    const mark = make("span", { class: `state ${state}` }, state);
    const row = make("tr", { role: "row" }, cell("Since", timeOf(since)), cell("State", mark));
    row.append(cell("For", length || "until now"));
    return row;
  });
}

function draw(snapshot) {
  const data = snapshot.connection;
  byId("unknown").hidden = data !== null;
  byId("account").hidden = data === null;
  if (data !== null) {
    if (card === null) {
      card = newCard(id, breakable(id));
      byId("account").append(card.element);
    }
    drawCard(card, data, snapshot.now);
  }
  drawPast(data === null ? [] : data.states);
  fill("errors", snapshot.errors, ([at, words]) =>
    make("tr", { role: "row" }, cell("Time", timeOf(at)), cell("Error", words)));
  fill("sinks", snapshot.sinks, (sink) => make("li", {}, ...breakable(sink)));
  byId("letters").hidden = !document.querySelector("nav a[href=outbox]") || !snapshot.sinks.length;
  drawTable(snapshot);
}

document.title = `${id}: Iris account`;
byId("letters").href = `outbox?${new URLSearchParams({ account: id })}`;
say(byId("zone"), `Times are in ${zone()}`);
setInterval(() => card !== null && card.data && tick(card), 1000);
follow(() => `events?${new URLSearchParams({ account: id })}`, draw);
