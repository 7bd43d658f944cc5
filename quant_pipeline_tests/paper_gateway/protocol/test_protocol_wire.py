"""Frames and fields: whatever arrives, in whatever pieces, is either read exactly or refused."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quant_pipeline.paper_gateway.protocol.wire import (
    GREETING,
    HIGHEST_VERSION,
    MAX_FRAME_BYTES,
    UNSET,
    FieldError,
    Fields,
    FrameBuffer,
    WireError,
    encode,
    negotiated_version,
)

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)


@given(messages=st.lists(st.lists(texts, min_size=1, max_size=8), max_size=8), cuts=st.lists(st.integers(1, 200)))
def test_messages_survive_being_split_at_any_byte(messages: list[list[str]], cuts: list[int]) -> None:
    stream = GREETING + b"".join(encode(message) for message in messages)
    frames = FrameBuffer()
    heard: list[list[str]] = []
    position = 0
    for size in [*cuts, len(stream)]:
        heard += [text.split("\0")[:-1] for text in frames.feed(stream[position : position + size])]
        position += size
    assert heard == messages


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_read_or_refused_and_never_anything_else(data: bytes) -> None:
    frames = FrameBuffer()
    try:
        for text in frames.feed(GREETING + data):
            assert text
    except WireError:
        pass


@pytest.mark.parametrize("length", [0, MAX_FRAME_BYTES + 1, 0xFFFFFFFF])
def test_a_frame_of_an_impossible_length_is_refused_before_it_is_read(length: int) -> None:
    with pytest.raises(WireError, match=str(length)):
        list(FrameBuffer().feed(GREETING + struct.pack(">I", length)))


def test_a_peer_that_does_not_greet_is_refused_at_once() -> None:
    with pytest.raises(WireError, match="GET"):
        list(FrameBuffer().feed(b"GET / HTTP/1.1\r\n"))


def test_text_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(WireError, match="UTF-8"):
        list(FrameBuffer().feed(GREETING + struct.pack(">I", 2) + b"\xff\0"))


def test_a_nul_inside_a_field_cannot_shift_the_fields_behind_it() -> None:
    (text,) = FrameBuffer().feed(GREETING + encode(["a\0b", None, True, 1.5]))
    assert text.split("\0") == ["a b", "", "1", "1.5", ""]


@pytest.mark.parametrize(
    ("asked", "spoken"),
    [
        ("v157..176", 176),
        ("v100..157", 157),
        ("v100..203", HIGHEST_VERSION),
        ("v160", 160),
        ("v157..176 +PACEAPI", 176),
    ],
)
def test_the_highest_version_both_sides_speak_is_spoken(asked: str, spoken: int) -> None:
    assert negotiated_version(asked) == spoken


@pytest.mark.parametrize("asked", ["v100..156", "v177..200", "", "hello", "v..", "v1.5..x", "v157..", "v" + "9" * 5000])
def test_versions_that_do_not_meet_or_are_none_are_refused(asked: str) -> None:
    with pytest.raises(WireError):
        negotiated_version(asked)


def test_fields_are_read_as_the_protocol_says() -> None:
    fields = Fields(["7", "", "1.5", UNSET, "1", "0", "x"], 176)
    assert [fields.integer(), fields.integer(), fields.number(), fields.number()] == [7, 0, 1.5, None]
    assert [fields.flag(), fields.flag(), fields.text()] == [True, False, "x"]
    with pytest.raises(FieldError, match="too early"):
        fields.text()


@pytest.mark.parametrize("text", ["x", "1.5.2", "nan", "-inf"])
def test_a_field_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(FieldError):
        Fields([text], 176).number()
