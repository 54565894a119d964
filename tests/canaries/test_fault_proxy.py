"""Tests that the fault proxy finds the end of each frame, in whatever pieces the bytes arrive."""

import pytest

from tests.fault_proxy import Frames, postgres, resp

VALUES = [
    *(b"+OK\r\n", b":1\r\n", b"_\r\n", b"$-1\r\n", b"$0\r\n\r\n", b"$4\r\na\r\nb\r\n", b"*-1\r\n", b"*0\r\n"),
    *(b"*2\r\n$1\r\na\r\n*1\r\n$-1\r\n", b"%1\r\n+key\r\n:1\r\n", b">2\r\n+message\r\n$1\r\nx\r\n"),
]
MESSAGES = [
    b"\x00\x00\x00\x08\x04\xd2\x16\x2f",  # an SSLRequest
    b"\x00\x00\x00\x09\x00\x03\x00\x00\x00",  # a StartupMessage
    b"Q\x00\x00\x00\x0bcommit\x00",
]


@pytest.mark.parametrize(
    ("whole", "frames"), [*((one, resp) for one in VALUES), *((one, postgres) for one in MESSAGES)]
)
def test_a_frame_is_known_when_it_is_whole(whole: bytes, frames: Frames) -> None:
    first = 2 if frames is postgres else 1  # a single byte is the response to an SSLRequest
    assert not any(frames(whole[:size]) for size in range(first, len(whole)))
    assert frames(whole) == frames(whole + whole) == len(whole)
