// The members of the cluster, and where each account is: asked for every two seconds.
"use strict";

const PAGE = 25;
const element = (id) => document.getElementById(id);
let page = 0;
let timer = null;

function row(cells) {
  const line = document.createElement("tr");
  for (const text of cells) {
    const cell = document.createElement("td");
    cell.append(text);
    line.append(cell);
  }
  return line;
}

function fill(id, rows) {
  element(id).tBodies[0].replaceChildren(...rows.map(row));
}

// The page of an account is at the member that keeps it.
function named(account, me) {
  const name = account["routing-id"];
  if (!account.places.some((place) => place.member === me)) return name;
  const link = document.createElement("a");
  link.href = `account?${new URLSearchParams({ id: name })}`;
  link.append(name);
  return link;
}

let drawn = "";
function fillAccounts(accounts, me) {
  // What did not change stays: the focus may be there.
  const text = JSON.stringify(accounts);
  if (text === drawn) return;
  drawn = text;
  fill("accounts", accounts.map((a) => [named(a, me), a.places.map(keeper).join(", "), a.copies]));
}

function keeper(place) {
  const who = place.member ?? "nobody";
  return place.successor ? `${who}, soon ${place.successor}` : who;
}

function show(seen) {
  const cluster = seen.cluster;
  fill("members", cluster.members.map((m) => [
    m.name === seen.me ? `${m.name} (this one)` : m.name, m.state, m.places, m.share, m.connected,
    m.capacity, m.zone ?? "", `${Math.round(m.renewed)} s ago`,
  ]));
  let sum = `${cluster.accounts} accounts, ${cluster.places} places: `
    + `${cluster.waiting} without an owner, ${cluster.moving} on the move.`;
  if (cluster.shortage) sum += ` The capacity of all members is ${cluster.shortage} too little.`;
  element("sum").textContent = sum;
  fillAccounts(seen.accounts, seen.me);
  const last = Math.max(0, Math.ceil(seen.found / PAGE) - 1);
  element("pages").hidden = last === 0;
  element("page").textContent = `Page ${page + 1} of ${last + 1}`;
  element("before").disabled = page === 0;
  element("after").disabled = page >= last;
  element("live").textContent = "Live";
}

async function ask() {
  clearTimeout(timer);
  const words = encodeURIComponent(element("words").value);
  try {
    const answer = await fetch(`cluster.json?words=${words}&page=${page}`);
    const seen = await answer.json();
    if (answer.ok) show(seen);
    else element("live").textContent = seen.message;
  } catch {
    element("live").textContent = "This member does not answer";
  }
  timer = setTimeout(ask, 2000);
}

function turn(to) {
  page = Math.max(0, to);
  ask();
}

element("words").addEventListener("input", () => turn(0));
element("view").addEventListener("submit", (event) => event.preventDefault());
element("before").addEventListener("click", () => turn(page - 1));
element("after").addEventListener("click", () => turn(page + 1));
ask();
