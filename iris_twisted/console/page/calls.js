// The table of calls, with a Reject button for who may. Rows are kept, so that the focus stays
// where it is.
"use strict";

const rows = new Map();
let newest = 0;

async function reject(call, row) {
  allow(row.button, false);
  const { done, message } = await change("reject", { id: call.id });
  if (!done) {
    say(row.state, `not rejected: ${message}`);
    say(byId("news"), `The call of ${call.number || call.caller} is not rejected: ${message}`);
  }
}

function newRow(call) {
  const who = call.number || call.caller;
  const row = { state: make("span"), day: make("small"), button: make("button", { type: "button" }, "Reject") };
  row.button.setAttribute("aria-label", `Reject the call of ${who} to ${call.account}`);
  onPress(row.button, () => reject(call, row));
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
    "tr", { role: "row" }, make("td", cell, time, row.day), from, to, make("td", cell, row.state),
  );
  if (mayReject) row.state.after(row.button);
  return row;
}

function drawTable(snapshot) {
  const body = byId("calls").tBodies[0];
  const shown = new Set();
  let place = body.firstElementChild;
  const news = [];
  const focus = document.activeElement;
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
    if (open) allow(row.button, true);
    say(row.day, dayOf(call.at));
    say(row.state, call.kind === "notify" || !open ? call.state : call.kind);
    row.element.classList.toggle("over", !open);
  }
  for (const [id, row] of rows) {
    if (!shown.has(id)) {
      row.element.remove();
      rows.delete(id);
    }
  }
  // Whoever rejected one with the keyboard goes on with the next.
  if (body.contains(focus) && focus.hidden) {
    const open = [...body.querySelectorAll("button:not([hidden])")];
    const next = open.find((one) => focus.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_FOLLOWING);
    (next || open[0] || byId("calls")).focus();
  }
  if (snapshot.calls.length) newest = Math.max(newest, snapshot.calls[0].id);
  newest = newest || 0.5;
  if (news.length) say(byId("news"), news.slice(0, 3).join(". "));
  byId("calls").hidden = !snapshot.calls.length;
  byId("quiet").hidden = snapshot.calls.length > 0;
}
