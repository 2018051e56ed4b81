// The members of the cluster, and where each account is: asked for every two seconds.
"use strict";

const PAGE = 25;
const MEMBER = ["Member", "State", "Places", "Share", "Connected", "Capacity", "Zone", "Renewed"];
const ACCOUNT = ["Account", "Kept by", "Copies"];
const view = { words: "", page: 0 };
let timer = null;
let asking = 0;

// Rows and cells are kept, and changed only where their words did: the focus may be there, and a
// screen reader reads on.
function fill(id, labels, rows) {
  const body = byId(id).tBodies[0];
  while (body.rows.length > rows.length) body.lastElementChild.remove();
  rows.forEach((words, index) => {
    let row = body.rows[index];
    if (!row) {
      row = make("tr", { role: "row" });
      row.append(...labels.map((label) => make("td", { role: "cell", "data-label": label })));
      body.append(row);
    }
    words.forEach((word, column) => {
      const cell = row.cells[column];
      const { text, link } = typeof word === "object" ? word : { text: `${word}`, link: "" };
      if (cell.dataset.text === text && cell.dataset.link === link) return;
      Object.assign(cell.dataset, { text, link });
      cell.replaceChildren(...(link ? [make("a", { href: link }, ...breakable(text))] : breakable(text)));
    });
  });
}

// The page of an account is at the member that keeps it.
function named(account, me) {
  const text = account["routing-id"];
  const mine = account.places.some((place) => place.member === me);
  return { text, link: mine ? `account?${new URLSearchParams({ id: text })}` : "" };
}

function keeper(place) {
  const who = place.member ?? "nobody";
  return place.successor ? `${who}, soon ${place.successor}` : who;
}

function show(seen) {
  const { cluster, accounts } = seen;
  fill("members", MEMBER, cluster.members.map((m) => [
    m.name === seen.me ? `${m.name} (this one)` : m.name, m.state, m.places, m.share, m.connected,
    m.capacity, m.zone ?? "", `${Math.round(m.renewed)} s ago`,
  ]));
  let sum = `${cluster.accounts} accounts, ${cluster.places} places: `
    + `${cluster.waiting} without an owner, ${cluster.moving} on the move.`;
  if (cluster.shortage) sum += ` The capacity of all members is ${cluster.shortage} too little.`;
  say(byId("sum"), sum);
  fill("accounts", ACCOUNT, accounts.map((a) => [
    named(a, seen.me), a.places.map(keeper).join(", "), a.copies,
  ]));
  byId("accounts").hidden = !accounts.length;
  byId("none").hidden = accounts.length > 0;
  const last = Math.max(0, Math.ceil(seen.found / PAGE) - 1);
  if (view.page > last) {
    turn(last);
    return;
  }
  byId("pages").hidden = last === 0;
  say(byId("page"), `Page ${view.page + 1} of ${last + 1}, ${seen.found} accounts`);
  allow(byId("before"), view.page > 0);
  allow(byId("after"), view.page < last);
}

async function ask() {
  clearTimeout(timer);
  const number = (asking += 1);
  let words = "";
  try {
    const answer = await fetch(here(`cluster.json?${new URLSearchParams(view)}`));
    const seen = await answer.json();
    if (number !== asking) return;
    if (answer.ok) show(seen);
    else words = seen.message;
  } catch {
    words = "This member does not answer; trying again";
  }
  if (number !== asking) return;
  say(byId("live"), words || "Live");
  byId("live").className = words ? "lost" : "";
  timer = setTimeout(ask, 2000);
}

function turn(page) {
  view.page = Math.max(0, page);
  toAddress(view);
  ask();
}

const chosen = new URLSearchParams(location.search);
view.words = chosen.get("words") || "";
view.page = pageOf(chosen);
byId("words").value = view.words;
let typing = null;
byId("words").addEventListener("input", (event) => {
  clearTimeout(typing);
  typing = setTimeout(() => {
    view.words = event.target.value.trim();
    turn(0);
  }, 200);
});
byId("view").addEventListener("submit", (event) => event.preventDefault());
onPress(byId("before"), () => turn(view.page - 1));
onPress(byId("after"), () => turn(view.page + 1));
ask();
