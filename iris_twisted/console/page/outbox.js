// How much each sink is owed, and the dead letters: asked for every two seconds, and less
// often where the answer takes long. Rows are kept, so that the focus stays where it is.
"use strict";

const SOONEST = 2000;
// How long a press on Purge waits for the second one.
const SURE = 5000;
const DOUBLE = 500;
const rows = new Map();
let account = new URLSearchParams(location.search).get("account") || "";
let timer = null;
let asking = 0;

function cell(label, ...children) {
  return make("td", { role: "cell", "data-label": label }, ...children);
}

// What cannot be undone is asked for twice.
function purging(button, purge) {
  const { name, label } = button.dataset;
  let calm = null;
  let pressed = 0;
  const rest = () => {
    clearTimeout(calm);
    calm = null;
    say(button, name);
    button.setAttribute("aria-label", label);
  };
  button.addEventListener("blur", rest);
  // Neither a key that is held nor a double click is a second thought.
  button.addEventListener("keydown", (event) => event.repeat && event.preventDefault());
  button.addEventListener("click", () => {
    if (calm !== null) {
      if (performance.now() - pressed < DOUBLE) return;
      rest();
      purge();
      return;
    }
    say(button, "Really purge?");
    button.setAttribute("aria-label", `Really? ${label}, for good`);
    say(byId("said"), "Press again to purge for good");
    pressed = performance.now();
    calm = setTimeout(rest, SURE);
  });
}

function button(name, label) {
  return make("button", { type: "button", "aria-label": label, "data-name": name, "data-label": label }, name);
}

async function decide(what, value, buttons) {
  const busy = buttons.some((one) => one.hasAttribute("aria-disabled"));
  if (busy) return;
  for (const one of buttons) allow(one, false);
  const { message } = await change(what, value);
  say(byId("said"), message);
  for (const one of buttons) allow(one, true);
  ask();
}

function pair(name, whom, value) {
  const retry = button(`Retry${name}`, `Retry ${whom}`);
  const purge = button(`Purge${name}`, `Purge ${whom}`);
  const both = [retry, purge];
  retry.addEventListener("click", () => decide("retry", value(), both));
  purging(purge, () => decide("purge", value(), both));
  return both;
}

function newRow(letter) {
  const whom = `the call of ${letter.caller} to ${letter.account} for ${letter.sink}`;
  const row = { reason: make("span"), attempts: make("small") };
  row.element = make(
    "tr", { role: "row" },
    cell("Time", timeOf(letter.received)),
    cell("From", ...breakable(letter.caller)),
    cell("To", ...breakable(letter.account)),
    cell("Sink", ...breakable(letter.sink)),
    cell("Reason", row.reason, row.attempts),
  );
  if (mayReject) {
    const value = () => ({ id: letter.id, sink: letter.handle });
    row.element.append(cell("Decide", make("div", { class: "acts" }, ...pair("", whom, value))));
  }
  return row;
}

function drawLetters(seen) {
  const body = byId("letters").tBodies[0];
  const shown = new Set();
  let place = body.firstElementChild;
  for (const letter of seen.letters) {
    const key = `${letter.id} ${letter.handle}`;
    shown.add(key);
    let row = rows.get(key);
    if (!row) rows.set(key, (row = newRow(letter)));
    say(row.reason, letter.reason);
    say(row.attempts, letter.attempts === 1 ? "1 attempt" : `${letter.attempts} attempts`);
    if (row.element !== place) body.insertBefore(row.element, place);
    else place = place.nextElementSibling;
  }
  const lost = [...rows].filter(([key]) => !shown.has(key));
  // Whoever decided about one with the keyboard goes on with the next.
  const left = lost.some(([, row]) => row.element.contains(document.activeElement));
  for (const [key, row] of lost) {
    row.element.remove();
    rows.delete(key);
  }
  const some = seen.letters.length > 0;
  byId("letters").hidden = !some;
  byId("quiet").hidden = some;
  byId("all").hidden = !some || !mayReject;
  byId("acts-head").hidden = !mayReject;
  byId("more").hidden = !seen.more;
  say(byId("more"), `The oldest ${seen.letters.length} are shown; there are more.`);
  if (left) (body.querySelector("button") || byId("account")).focus();
}

function drawSinks(seen) {
  byId("sinks").tBodies[0].replaceChildren(
    ...seen.sinks.map((sink) =>
      make(
        "tr", { role: "row" },
        cell(
          "Sink", ...breakable(sink.sink),
          ...(sink.configured ? [] : [make("small", {}, "not configured here: nobody takes from it")]),
        ),
        cell("Waiting", `${sink.waiting}`),
        cell("Oldest waits for", sink.oldest === null ? "none waits" : span(seen.now - sink.oldest)),
        cell("Dead letters", `${sink.dead}`),
      )),
  );
  byId("memory").hidden = seen.keeps;
}

async function ask() {
  clearTimeout(timer);
  const number = (asking += 1);
  const begun = performance.now();
  let words = "";
  try {
    const answer = await fetch(here(`outbox.json?${new URLSearchParams({ account })}`));
    const seen = await answer.json();
    if (number !== asking) return;
    if (answer.ok) {
      skew = seen.now - Date.now() / 1000;
      drawSinks(seen);
      drawLetters(seen);
    } else words = seen.message;
  } catch {
    words = "The program cannot be reached; trying again";
  }
  if (number !== asking) return;
  say(byId("live"), words || "Live");
  byId("live").className = words ? "lost" : "";
  // Counting thousands takes the store a while, which it needs for calls too.
  timer = setTimeout(ask, Math.max(SOONEST, 10 * (performance.now() - begun)));
}

let typing = null;
byId("account").value = account;
byId("account").addEventListener("input", (event) => {
  clearTimeout(typing);
  typing = setTimeout(() => {
    account = event.target.value.trim();
    toAddress({ account });
    ask();
  }, 200);
});
byId("view").addEventListener("submit", (event) => event.preventDefault());
const everything = () => (account ? { all: true, account } : { all: true });
byId("all").append(...pair(" all", "all dead letters that are asked for", everything));
say(byId("zone"), `Times are in ${zone()}`);
ask();
