"""
So many open pages of a console, and a scraper of its metrics; obeys lines on stdin.

    python -m benchmarks.clients.lookers URL PAGES VIEWS SCRAPE

VIEWS is how many different things the pages look at, SCRAPE the seconds between two scrapes, or
0. When it reads a line it prints C{events}, how many the pages were told since it began, and
C{bytes}.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from urllib.parse import urlsplit
from urllib.request import urlopen

HOST = "127.0.0.1"


def main(url: str, pages: int, views: int, scrape: float) -> None:
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ)
    for number in range(pages):
        page = socket.create_connection((HOST, urlsplit(url).port or 80))
        path = f"/events?page={number % views}"
        page.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        selector.register(page, selectors.EVENT_READ)
    events, size, next_ = 0, 0, time.monotonic()
    while True:
        for key, _ in selector.select(0.1):
            if key.fileobj is sys.stdin:
                if not sys.stdin.readline():
                    return
                print(json.dumps({"events": events, "bytes": size}), flush=True)
            elif isinstance(key.fileobj, socket.socket):
                data = key.fileobj.recv(1 << 20)
                events += data.count(b"data: ")
                size += len(data)
        if scrape and time.monotonic() >= next_:
            next_ += scrape
            urlopen(f"{url}metrics").read()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
