// A connection: what it does, its states, pings and calls. Elements are kept and changed, so
// that the focus stays where it is.
"use strict";

const STATES = ["connected", "connecting", "reconnecting", "disconnected"];
// How much of the past the timeline shows, in seconds.
const PAST = 30 * 60;

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

// A connection, with a title of these pieces.
function newCard(account, title) {
  const id = `c-${encodeURIComponent(account)}`;
  const card = {
    title: make("h3", { id }, ...title),
    state: make("span", { class: "state" }),
    facts: make("ul", { class: "facts", role: "list" }),
    jid: make("li"), token: make("li"), turn: make("li"), next: make("li"),
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
    say(card.error, `${moment(data.error[0])}  ${data.error[1]}`);
    card.error.classList.toggle("past", data.state === "connected");
  }
  drawTimeline(card.line, data.states, at);
  drawPings(card.pings, data.pings.map((ping) => (ping === null ? null : ping / 1e6)));
  drawCalls(card.calls, data.calls);
  tick(card);
}
