"""
Websocket frames as they nearly always are, without Autobahn's message events: whole text
frames in, short masked text frames out (RFC 6455 section 5). Everything unusual is left
to Autobahn.

Not checked here is UTF-8: the XML parser does.
"""

from __future__ import annotations

from ..net.random_bytes import randomChunks

__all__ = ["masked", "texts"]

# FIN and the opcode for text, no extension.
_TEXT = 0x81


def texts(data: bytes, limit: int) -> tuple[list[bytes], int, int]:
    """
    The messages at the beginning of C{data} that are one whole, unmasked text frame each.

    @param limit: how many bytes a message may have.
    @return: the messages; how many bytes they took; and how many bytes must follow what
        remains until that is one more, at least. 0: nothing remains, or something that
        is nothing for this module.
    """
    messages: list[bytes] = []
    position, end = 0, len(data)
    while position < end:
        if data[position] != _TEXT:
            return messages, position, 0
        start = position + 2
        if start > end:
            return messages, position, 1
        length = data[position + 1]
        if length > 125:
            # In two bytes, or eight; masked ones have the highest bit.
            size, least = (2, 126) if length == 126 else (8, 65536)
            start += size
            if length > 127:
                return messages, position, 0
            if start > end:
                return messages, position, start - end
            length = int.from_bytes(data[position + 2 : start], "big")
            if length < least:
                # RFC 6455 section 5.2: the shortest form must be used.
                return messages, position, 0
        if length > limit:
            return messages, position, 0
        stop = start + length
        if stop > end:
            return messages, position, stop - end
        messages.append(data[start:stop])
        position = stop
    return messages, position, 0


_HEADS = [bytes((_TEXT, 0x80 | length)) for length in range(126)]


# Nobody can guess them (RFC 6455 section 5.3).
_nextMask = randomChunks(4)


def masked(message: bytes) -> bytes | None:
    """
    The frame that a client sends a text message in.

    @return: C{None} for a message that is too long for this module.
    """
    length = len(message)
    if length < 126:
        head = _HEADS[length]
    elif length < 65536:
        head = bytes((_TEXT, 0xFE, length >> 8, length & 0xFF))
    else:
        return None
    mask = _nextMask()
    key = int.from_bytes((mask * ((length >> 2) + 1))[:length], "little")
    text = (int.from_bytes(message, "little") ^ key).to_bytes(length, "little")
    return head + mask + text
