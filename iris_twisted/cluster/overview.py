"""
What operators are shown of a cluster: its members, its accounts, and where each is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from ..command_line.terminal import printable
from .deciding import shortage
from .membership import look
from .ownership import shares
from .values import LEASE, Life

__all__ = ["accountLines", "accountsOf", "accountsPage", "statusLines", "statusOf"]


def statusOf(connection: psycopg.Connection) -> dict[str, Any]:
    """The members and what they have, for programs. To be called within a transaction."""
    sight = look(connection, None, LEASE, exact=True)
    assert sight is not None
    rows = connection.execute(
        "SELECT name, connected, host, process, program, "
        "extract(epoch FROM expires - clock_timestamp())::float8 FROM iris_members"
    ).fetchall()
    said = {row[0]: row[1:] for row in rows}
    counted = connection.execute(
        "SELECT (SELECT count(*) FROM iris_accounts), (SELECT count(*) FROM iris_places)"
    ).fetchone()
    assert counted is not None
    share = shares(sight.members, counted[1])
    members = []
    for member in sorted(sight.members, key=lambda m: m.name):
        connected, host, process, program, left = said[member.name]
        draining = member.draining and member.life is Life.LIVE
        members.append(
            {
                "name": member.name,
                "state": "draining" if draining else member.life.value,
                "zone": member.zone,
                "capacity": member.capacity,
                "places": member.held,
                "connected": connected if member.life is Life.LIVE else 0,
                "share": share[member.id].high if member.id in share else 0,
                "coming": member.coming,
                "going": member.going,
                "renewed": round(LEASE - left, 1),
                "age": round(member.age, 1),
                "host": host,
                "process": process,
                "program": program,
            }
        )
    return {
        "accounts": counted[0],
        "places": counted[1],
        "waiting": sight.waiting,
        "shortage": shortage(sight.members, sight.waiting),
        "moving": len(sight.handovers),
        "members": members,
    }


def statusLines(status: dict[str, Any]) -> list[str]:
    """The same, for people."""
    heads = "MEMBER", "STATE", "PLACES", "SHARE", "CONNECTED", "CAPACITY", "ZONE", "RENEWED", "HOST"
    rows = [
        (
            m["name"],
            m["state"],
            m["places"],
            m["share"],
            m["connected"],
            m["capacity"],
            m["zone"] or "-",
            f"{m['renewed']:.0f} s ago",
            f"{m['host']} ({m['process']})",
        )
        for m in status["members"]
    ]
    lines = _table([heads, *rows]) if rows else ["There is no member."]
    words = "{accounts} accounts, {places} places: {waiting} wait, {moving} move".format(**status)
    lines.append(words)
    if status["shortage"]:
        lines.append(f"The capacity of all members together is {status['shortage']} too little.")
    return lines


def accountsOf(
    connection: psycopg.Connection, routingIds: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The accounts, and who keeps them, for programs; all, or these."""
    some = "WHERE lower(a.routing_id) = ANY(%(ids)s) " if routingIds else ""
    rows = connection.execute(
        "SELECT a.routing_id, a.copies, a.shown_sinks, a.email, p.copy, p.epoch, m.name, "
        "m.expires > clock_timestamp(), s.name FROM iris_accounts a "
        "LEFT JOIN iris_places p ON p.account = a.id LEFT JOIN iris_members m ON m.id = p.owner "
        f"LEFT JOIN iris_members s ON s.id = p.successor {some}"
        "ORDER BY lower(a.routing_id), p.copy",
        {"ids": [routingId.lower() for routingId in routingIds]},
    ).fetchall()
    found: dict[str, dict[str, Any]] = {}
    for routingId, copies, sinks, email, copy, epoch, owner, lives, successor in rows:
        account = found.setdefault(
            routingId,
            {
                "routing-id": routingId,
                "copies": copies,
                "sinks": sinks,
                "email": email,
                "places": [],
            },
        )
        if copy is not None:
            place = {"copy": copy, "epoch": epoch, "member": owner if lives else None}
            account["places"].append({**place, "successor": successor})
    return list(found.values())


def accountsPage(
    connection: psycopg.Connection, words: str, page: int, size: int
) -> dict[str, Any]:
    """
    A page of the accounts whose routing id has these words in it.

    @param page: which, from 0.
    @param size: how many accounts it has.
    """
    pattern = f"%{words.lower().replace('%', '').replace('_', '')}%"
    found = connection.execute(
        "SELECT routing_id, count(*) OVER () FROM iris_accounts "
        "WHERE lower(routing_id) LIKE %s ORDER BY lower(routing_id) LIMIT %s OFFSET %s",
        (pattern, size, page * size),
    ).fetchall()
    accounts = accountsOf(connection, [row[0] for row in found]) if found else []
    return {"found": found[0][1] if found else 0, "page": page, "accounts": accounts}


def accountLines(accounts: Sequence[dict[str, Any]]) -> list[str]:
    """The same, for people."""
    if not accounts:
        return ["There is no account."]
    rows: list[tuple[Any, ...]] = [("ACCOUNT", "COPIES", "MEMBERS", "SINKS")]
    for account in accounts:
        members = ", ".join(
            (place["member"] or "nobody")
            + (f" -> {place['successor']}" if place["successor"] else "")
            for place in account["places"]
        )
        sinks = "all" if account["sinks"] is None else " ".join(account["sinks"]) or "none"
        rows.append((account["routing-id"], account["copies"], members, sinks))
    return _table(rows)


def _table(rows: Sequence[Sequence[Any]]) -> list[str]:
    texts = [[printable(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    lines = []
    for row, values in zip(texts, rows, strict=True):
        cells = [
            text.rjust(width) if isinstance(value, int) else text.ljust(width)
            for text, value, width in zip(row, values, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines
