// What the scripts of all pages use. Nothing is ever set as HTML: names and errors come from
// strangers.
"use strict";

const token = document.querySelector('meta[name="console-token"]')?.content || "";
// Who may only read gets no token.
const mayReject = token !== "";
// Not as the browser would complete them: where name and password stand in the page's own
// address, it asks for nothing that is named from there.
const here = (name) => new URL(name, location.origin + location.pathname);
const byId = (id) => document.getElementById(id);

function make(name, attributes = {}, ...children) {
  const svg = ["svg", "rect", "polyline", "title"].includes(name);
  const element = svg
    ? document.createElementNS("http://www.w3.org/2000/svg", name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// A button that is really disabled loses the focus.
function allow(button, yes) {
  if (yes) button.removeAttribute("aria-disabled");
  else button.setAttribute("aria-disabled", "true");
}

function onPress(button, work) {
  button.addEventListener("click", () => button.hasAttribute("aria-disabled") || work());
}

let skew = 0; // The server's clock, minus ours.
const now = () => Date.now() / 1000 + skew;
const clock = (seconds) =>
  new Date(seconds * 1000).toLocaleTimeString([], { hour12: false });

// Which zone the clocks of this page are in: the browser's.
const zone = () =>
  new Intl.DateTimeFormat([], { timeZoneName: "longOffset" })
    .formatToParts(new Date())
    .find((part) => part.type === "timeZoneName").value.replace("GMT", "UTC");

// A name that may break behind its marks, and nowhere else while there is room; an IPv4 address is
// one piece.
function breakable(text) {
  const pieces = text.split(/(?<=[@./_-])(?!(?<=\d\.)\d)/);
  return pieces.flatMap((piece, index) => (index ? [make("wbr"), piece] : [piece]));
}

// What is chosen stands in the address: it can be sent to somebody, and survives a reload.
function toAddress(view) {
  const chosen = Object.entries(view).filter(([, value]) => value);
  const asked = chosen.length ? `?${new URLSearchParams(chosen)}` : location.pathname;
  if (asked !== (location.search || location.pathname)) history.replaceState(null, "", asked);
}

const pageOf = (asked) => Math.max(0, parseInt(asked.get("page"), 10) || 0);

function span(seconds) {
  seconds = Math.max(0, Math.round(seconds));
  const days = Math.floor(seconds / 86400);
  const hours = Math.floor((seconds % 86400) / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  if (minutes) return `${minutes} min ${seconds % 60} s`;
  return `${seconds} s`;
}

// The day of a time, where that is not today.
const dayOf = (seconds) => {
  const when = new Date(seconds * 1000);
  const today = when.toDateString() === new Date(now() * 1000).toDateString();
  return today ? "" : when.toLocaleDateString();
};
const moment = (seconds) => `${dayOf(seconds)} ${clock(seconds)}`.trim();

function timeOf(seconds, words = moment) {
  const iso = new Date(seconds * 1000).toISOString();
  return make("time", { datetime: iso, title: iso }, words(seconds));
}

// Asks the program to change something: whether it did, and its words.
async function change(what, value) {
  try {
    const answer = await fetch(here(what), {
      method: "POST",
      headers: { "content-type": "application/json", "x-console-token": token },
      body: JSON.stringify(value),
    });
    const { message } = await answer.json();
    return { done: answer.ok, message };
  } catch {
    return { done: false, message: "the program cannot be reached" };
  }
}

// An event says what has changed since the last one: what it leaves out is as it was, and an
// entry of a list that is as it was is only named.
const NAMES = { connections: "account", calls: "id" };
function completed(last, news) {
  const whole = { ...last, ...news };
  for (const [list, name] of Object.entries(NAMES)) {
    if (!news[list]) continue;
    const known = new Map((last[list] || []).map((entry) => [entry[name], entry]));
    whole[list] = news[list].map((entry) => (typeof entry === "object" ? entry : known.get(entry)));
  }
  return whole;
}

// What the server says in its events; which, is asked for each time.
let source = null;
function follow(which, draw) {
  if (source) source.close();
  source = new EventSource(here(which()));
  let snapshot = {};
  source.onmessage = (event) => {
    snapshot = completed(snapshot, JSON.parse(event.data));
    skew = snapshot.now - Date.now() / 1000;
    draw(snapshot);
    say(byId("live"), "Live");
    byId("live").className = "";
  };
  source.onerror = () => {
    say(byId("live"), "The program cannot be reached; trying again");
    byId("live").className = "lost";
    // After some answers a browser gives up.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => follow(which, draw), 3000);
  };
}
