"""The TWS wire: frames of NUL-terminated text fields behind a four-byte length.

Framing and the encoding of single fields belong here, with the bounds that keep a hostile or broken peer harmless. What
the fields mean does not (``requests``, ``replies``, ``order_replies``), nor does anything about sockets. Called by
``client_session`` for every byte in and out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

HIGHEST_VERSION = 176
LOWEST_VERSION = 157
MAX_FRAME_BYTES = 256 * 1024
"""Far above any request a client sends (an order is about 400 bytes), far below what could hurt."""

GREETING = b"API\0"
UNSET = "1.7976931348623157E308"
"""How the wire writes a number that has no value."""

LARGEST_INTEGER = 2**31 - 1
"""What the protocol's integers hold."""

Field = str | int | float | bool | None

_LENGTH = struct.Struct(">I")
LENGTH_BYTES = _LENGTH.size


class WireError(ValueError):
    """The peer sent what is no TWS frame; its connection cannot be trusted any further."""


class FieldError(ValueError):
    """A well-formed frame holds a field that cannot be read; the request fails, the connection lives."""


def encode(fields: Iterable[Field]) -> bytes:
    """One message as a frame: None is empty, booleans are 1 and 0, a NUL within a field becomes a space."""
    texts = [field if isinstance(field, str) else _text(field) for field in fields]
    text = "\0".join(texts)
    # Counted once a message, since looking into every field would cost as much as writing it.
    if text.count("\0") >= len(texts):
        text = "\0".join([field.replace("\0", " ") for field in texts])
    return frame(f"{text}\0" if texts else "")


def frame(text: str) -> bytes:
    """Text that is already NUL-terminated, behind its length."""
    body = text.encode()
    return _LENGTH.pack(len(body)) + body


def _text(field: float | bool | None) -> str:
    if field is None:
        return ""
    if isinstance(field, bool):
        return "1" if field else "0"
    return str(field)


class FrameBuffer:
    """Turns a stream of bytes, split anywhere, into frames; holds what was fed and not taken yet."""

    def __init__(self) -> None:
        self._bytes = b""
        self._position = 0
        self._greeted = False

    def feed(self, data: bytes) -> Iterator[str]:
        """Take in bytes and return ``frames``."""
        rest = self._bytes[self._position :]
        self._bytes = rest + data if rest else data
        self._position = 0
        return self.frames()

    def frames(self) -> Iterator[str]:
        """Yield the text of every frame that is complete and was not taken before.

        Raises:
            WireError: The greeting is missing, or a frame is empty, too large or not UTF-8.
        """
        if not self._greeted:
            self._greet()
            if not self._greeted:
                return
        data, unpack, available = self._bytes, _LENGTH.unpack_from, len(self._bytes)
        while (start := self._position + LENGTH_BYTES) <= available:
            (length,) = unpack(data, self._position)
            if not 0 < length <= MAX_FRAME_BYTES:
                raise WireError(f"a frame of {length} bytes is not between 1 and {MAX_FRAME_BYTES}")
            end = start + length
            if end > available:
                return
            self._position = end
            try:
                text = data[start:end].decode()
            except UnicodeDecodeError as error:
                raise WireError("a frame is not UTF-8 text") from error
            yield text

    def _greet(self) -> None:
        start = self._bytes[: len(GREETING)]
        if not GREETING.startswith(start):
            raise WireError(f"the connection opened with {start!r}, not with {GREETING!r}")
        if start == GREETING:
            self._position = len(GREETING)
            self._greeted = True


def negotiated_version(text: str) -> int:
    """The server version both sides speak, from the client's ``v157..176``.

    Raises:
        WireError: The text is no version range, or the ranges do not meet.
    """
    words = text.split(maxsplit=1)
    lowest, dots, highest = (words[0] if words else "").removeprefix("v").partition("..")
    if not (lowest.isascii() and lowest.isdigit() and (not dots or (highest.isascii() and highest.isdigit()))):
        raise WireError(f"the handshake {text[:40]!r} names no range of versions")
    if len(lowest) > 6 or len(highest) > 6:
        raise WireError("the handshake names versions that do not exist")
    wanted = int(highest) if dots else int(lowest)
    if wanted < LOWEST_VERSION or int(lowest) > HIGHEST_VERSION:
        raise WireError(f"the client speaks {text[:40]}, this server {LOWEST_VERSION} to {HIGHEST_VERSION}")
    return min(wanted, HIGHEST_VERSION)


class Fields:
    """The fields of one message, read one after the other as the types the protocol says they are."""

    def __init__(self, values: list[str], version: int) -> None:
        self._values = values
        self._next = 0
        self.version = version

    def text(self) -> str:
        """The next field as it is."""
        place = self._next
        self._next = place + 1
        try:
            return self._values[place]
        except IndexError:
            raise FieldError("the message ends too early") from None

    def integer(self) -> int:
        """The next field as a whole number; empty means 0."""
        text = self.text()
        try:
            value = int(text) if text else 0
        except ValueError:
            raise FieldError(f"{text[:40]!r} is not a whole number") from None
        if abs(value) > LARGEST_INTEGER:
            raise FieldError(f"{text[:40]!r} is too large a number")
        return value

    def number(self) -> float | None:
        """The next field as a finite number; empty and the wire's unset value mean None."""
        text = self.text()
        if not text or text == UNSET:
            return None
        try:
            value = float(text)
        except ValueError:
            raise FieldError(f"{text[:40]!r} is not a number") from None
        if not abs(value) < 1e300:
            if value > 1e300:
                return None
            raise FieldError(f"{text[:40]!r} is not a finite number")
        return value

    def flag(self) -> bool:
        """The next field as a boolean; ``1`` and ``true`` are true."""
        return self.text() in ("1", "true", "True")

    def skip(self, count: int) -> None:
        """Pass over fields that make no difference here.

        Raises:
            FieldError: There are not that many.
        """
        self._next += count
        if self._next > len(self._values):
            raise FieldError("the message ends too early")
