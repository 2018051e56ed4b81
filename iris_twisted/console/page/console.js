// Draws what the server says in its events. Elements are kept and changed, so that the focus
// stays where it is.
"use strict";

const STATES = ["connected", "connecting", "reconnecting", "disconnected"];
// How much of the past the timeline shows, in seconds.
const PAST = 30 * 60;

const view = { words: "", state: "", page: 0 };
// What is chosen stands in the address: it can be sent to somebody, and survives a reload.
function ofAddress() {
  const asked = new URLSearchParams(location.search);
  view.words = asked.get("words") || "";
  view.state = STATES.includes(asked.get("state")) ? asked.get("state") : "";
  view.page = Math.max(0, parseInt(asked.get("page"), 10) || 0);
  byId("words").value = view.words;
}

function toAddress() {
  const chosen = Object.entries(view).filter(([, value]) => value);
  const asked = chosen.length ? `?${new URLSearchParams(chosen)}` : location.pathname;
  if (asked !== (location.search || location.pathname)) history.replaceState(null, "", asked);
}

const cards = new Map();
const rows = new Map();
let source = null;
let newest = 0;

const milliseconds = (seconds) =>
  seconds === null ? "none" : `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms`;

// Plots

function plot(label) {
  const svg = make("svg", { class: "plot", role: "img", preserveAspectRatio: "none" });
  const value = make("span");
  const figure = make("figure", {}, svg, make("figcaption", {}, make("span", {}, label), value));
  return { figure, svg, value, label };
}

function describe(one, text, words) {
  say(one.value, text);
  one.svg.setAttribute("aria-label", `${one.label}: ${words}`);
}

function drawTimeline(one, states, at) {
  const start = Math.max(at - PAST, states[0][0]);
  const length = Math.max(at - start, 1);
  one.svg.setAttribute("viewBox", "0 0 1000 20");
  const parts = states.map(([begin, state], index) => {
    const end = index + 1 < states.length ? states[index + 1][0] : at;
    const x = (1000 * (Math.max(begin, start) - start)) / length;
    const width = (1000 * (end - start)) / length - x;
    // A loss of a moment shall be seen too.
    const least = state === "connected" ? 0 : 6;
    const rect = make("rect", { class: state, x, y: 0, width: Math.max(width, least), height: 20 });
    rect.append(make("title", {}, `${state} since ${clock(begin)}`));
    return end > start ? rect : null;
  });
  const isUp = (rect) => rect.classList.contains("connected");
  const shown = parts.filter(Boolean);
  one.svg.replaceChildren(...shown.filter(isUp), ...shown.filter((rect) => !isUp(rect)));
  const lost = states.filter(([begin, state]) => state === "disconnected" && begin > start);
  const losses = lost.length === 1 ? "1 loss" : `${lost.length} losses`;
  describe(one, span(length), `${span(length)}, ${losses}`);
}

function drawPings(one, pings) {
  const known = pings.filter((value) => value !== null);
  const top = Math.max(...known, 0.001);
  one.svg.setAttribute("viewBox", "0 0 60 20");
  const lines = [];
  let points = [];
  pings.forEach((value, index) => {
    if (value === null) {
      if (points.length) lines.push(points);
      points = [];
    } else points.push(`${60 - pings.length + index},${19 - (17 * value) / top}`);
  });
  if (points.length) lines.push(points);
  one.svg.replaceChildren(
    ...lines.map((line) =>
      make("polyline", { points: line.length > 1 ? line.join(" ") : `${line[0]} 60,${line[0].split(",")[1]}` })),
  );
  const last = pings.length ? pings[pings.length - 1] : null;
  const words = known.length ? `now ${milliseconds(last)}, at most ${milliseconds(top)}` : "none yet";
  describe(one, known.length ? milliseconds(last) : "", words);
}

function drawCalls(one, counts) {
  const top = Math.max(...counts, 1);
  one.svg.setAttribute("viewBox", `0 0 ${counts.length} 20`);
  one.svg.replaceChildren(
    ...counts.map((count, index) => {
      const height = (18 * count) / top;
      return make("rect", { class: "bar-of-calls", x: index + 0.1, y: 20 - height, width: 0.8, height });
    }),
  );
  const last = counts[counts.length - 1];
  const sum = counts.reduce((a, b) => a + b, 0);
  describe(one, `${last}`, `${last} in this minute, ${sum} in the last ${counts.length}`);
}

// Connections

function newCard(account) {
  const id = `c-${encodeURIComponent(account)}`;
  const card = {
    title: make("h3", { id }, account),
    state: make("span", { class: "state" }),
    facts: make("p", { class: "facts" }),
    jid: make("span"), token: make("span"), turn: make("span"), next: make("span"),
    error: make("p", { class: "error" }),
    line: plot("States"), pings: plot("Ping"), calls: plot("Calls a minute"),
  };
  card.facts.append(card.next, card.jid, card.token, card.turn);
  card.element = make(
    "article", { "aria-labelledby": id },
    make("div", { class: "top" }, card.title, card.state),
    card.facts, card.error,
    make("div", { class: "plots" }, card.line.figure, card.pings.figure, card.calls.figure),
  );
  return card;
}

function countdown(element, what, expires) {
  const left = expires === null ? null : expires - now();
  say(element, left === null ? "" : left > 0 ? `${what} expires in ${span(left)}` : `${what} has expired`);
  element.className = left !== null && left < 300 ? "soon" : "";
  element.hidden = left === null;
}

function tick(card) {
  const { data } = card;
  const since = data.states[data.states.length - 1][0];
  say(card.state, `${data.state} for ${span(now() - since)}`);
  countdown(card.token, "Token", data.tokenExpires);
  countdown(card.turn, "TURN", data.turnExpires);
  const waits = data.state === "reconnecting" && data.next !== null;
  card.next.hidden = !waits;
  if (waits) {
    const wait = data.next[1] - now();
    say(card.next, wait > 0 ? `Attempt ${data.next[0]} in ${span(wait)}` : `Attempt ${data.next[0]} under way`);
  }
}

function drawCard(card, data, at) {
  card.data = data;
  card.state.className = `state ${data.state}`;
  say(card.jid, data.jid === null ? "" : `${data.jid.split("/")[1] || data.jid} on ${data.server}`);
  card.jid.hidden = data.jid === null;
  card.error.hidden = data.error === null;
  if (data.error !== null) {
    say(card.error, `${clock(data.error[0])}  ${data.error[1]}`);
    card.error.classList.toggle("past", data.state === "connected");
  }
  drawTimeline(card.line, data.states, at);
  drawPings(card.pings, data.pings);
  drawCalls(card.calls, data.calls);
  tick(card);
}

function drawConnections(snapshot) {
  const list = byId("connections");
  const shown = new Set();
  let place = list.firstElementChild;
  for (const data of snapshot.connections) {
    shown.add(data.account);
    let card = cards.get(data.account);
    if (!card) cards.set(data.account, (card = newCard(data.account)));
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
  byId("before").disabled = snapshot.page === 0;
  byId("after").disabled = snapshot.page + 1 >= snapshot.pages;
  view.page = snapshot.page;
}

// Calls

async function reject(call, row) {
  row.button.disabled = true;
  const { done, message } = await change("reject", { id: call.id });
  if (!done) say(row.state, `not rejected: ${message}`);
}

function newRow(call) {
  const who = call.number || call.caller;
  const row = { state: make("span"), button: make("button", { type: "button" }, "Reject") };
  row.button.setAttribute("aria-label", `Reject the call of ${who} to ${call.account}`);
  row.button.addEventListener("click", () => reject(call, row));
  const cell = { role: "cell" };
  const from = make("td", { ...cell, "data-label": "From" });
  // What a stranger calls a number may be anything.
  if (/^[+\d ().-]{1,20}$/.test(who)) from.append(make("span", { class: "number" }, who));
  else from.append(...breakable(who));
  if (call.number) from.append(make("small", {}, ...breakable(call.caller)));
  const to = make("td", { ...cell, "data-label": "To" }, ...breakable(call.account));
  to.append(make("small", {}, ...breakable(call.room)));
  const time = timeOf(call.at, clock);
  row.element = make(
    "tr", { role: "row" }, make("td", cell, time), from, to, make("td", cell, row.state),
  );
  if (mayReject) row.state.after(row.button);
  return row;
}

function drawTable(snapshot) {
  const body = byId("calls").tBodies[0];
  const shown = new Set();
  let place = body.firstElementChild;
  const news = [];
  for (const call of snapshot.calls) {
    shown.add(call.id);
    let row = rows.get(call.id);
    if (!row) {
      rows.set(call.id, (row = newRow(call)));
      if (call.id > newest && newest) {
        row.element.className = "new";
        news.push(`Call from ${call.number || call.caller} to ${call.account}`);
      }
    }
    if (row.element !== place) body.insertBefore(row.element, place);
    else place = place.nextElementSibling;
    const open = call.state === "ringing";
    row.button.hidden = !open;
    if (open) row.button.disabled = false;
    say(row.state, call.kind === "notify" || !open ? call.state : call.kind);
    row.element.classList.toggle("over", !open);
  }
  for (const [id, row] of rows) {
    if (!shown.has(id)) {
      row.element.remove();
      rows.delete(id);
    }
  }
  if (snapshot.calls.length) newest = Math.max(newest, snapshot.calls[0].id);
  newest = newest || 0.5;
  if (news.length) say(byId("news"), news.slice(0, 3).join(". "));
  byId("calls").hidden = !snapshot.calls.length;
  byId("quiet").hidden = snapshot.calls.length > 0;
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
  skew = snapshot.now - Date.now() / 1000;
  drawStates(snapshot.states);
  drawConnections(snapshot);
  drawTable(snapshot);
  say(byId("live"), "Live");
  byId("live").className = "";
}

function look(change) {
  Object.assign(view, change);
  toAddress();
  if (source) source.close();
  source = new EventSource(here(`events?${new URLSearchParams(view)}`));
  source.onmessage = (event) => draw(JSON.parse(event.data));
  source.onerror = () => {
    say(byId("live"), "The program cannot be reached; trying again");
    byId("live").className = "lost";
    // After some answers a browser gives up.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => look({}), 3000);
  };
}

let typing = null;
byId("words").addEventListener("input", (event) => {
  clearTimeout(typing);
  typing = setTimeout(() => look({ words: event.target.value.trim(), page: 0 }), 200);
});
byId("view").addEventListener("submit", (event) => event.preventDefault());
byId("before").addEventListener("click", () => look({ page: view.page - 1 }));
byId("after").addEventListener("click", () => look({ page: view.page + 1 }));
setInterval(() => cards.forEach(tick), 1000);
say(byId("zone"), `Times are in ${zone()}`);
ofAddress();
look({});
