"""Tests that the fault proxy finds the end of each frame, even if the bytes of the frame arrive in parts.

A frame is one message of the PostgreSQL or Redis protocol.
"""

import pytest

from tests.fault_proxy import FrameLength, postgres_frame_length, redis_frame_length

REDIS_FRAMES = [
    *(b"+OK\r\n", b":1\r\n", b"_\r\n", b"$-1\r\n", b"$0\r\n\r\n", b"$4\r\na\r\nb\r\n", b"*-1\r\n", b"*0\r\n"),
    *(b"*2\r\n$1\r\na\r\n*1\r\n$-1\r\n", b"%1\r\n+key\r\n:1\r\n", b">2\r\n+message\r\n$1\r\nx\r\n"),
]
POSTGRES_FRAMES = [
    b"\x00\x00\x00\x08\x04\xd2\x16\x2f",  # an SSLRequest
    b"\x00\x00\x00\x09\x00\x03\x00\x00\x00",  # a StartupMessage
    b"Q\x00\x00\x00\x0bcommit\x00",
]


@pytest.mark.parametrize(
    ("frame", "frame_length"),
    [
        *((frame, redis_frame_length) for frame in REDIS_FRAMES),
        *((frame, postgres_frame_length) for frame in POSTGRES_FRAMES),
    ],
)
def test_a_frame_is_found_only_when_it_is_complete(frame: bytes, frame_length: FrameLength) -> None:
    # In PostgreSQL's protocol, a single byte is a complete frame: the response to an SSLRequest.
    min_size = 2 if frame_length is postgres_frame_length else 1
    assert not any(frame_length(frame[:size]) for size in range(min_size, len(frame)))
    assert frame_length(frame) == frame_length(frame + frame) == len(frame)
