"""Tests that the fault proxy finds the end of each frame, even if its bytes arrive in parts, and knows which requests are open.

A frame is one message of the PostgreSQL or Redis protocol.
"""

import socket
from pathlib import Path

import pytest

from tests.fault_proxy import FrameLength, Proxy, postgres_frame_length, redis_frame_length
from tests.services import eventually

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


def test_a_request_is_answered_when_its_response_was_forwarded(tmp_path: Path) -> None:
    path = tmp_path / "server"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with Proxy(path, redis_frame_length) as proxy, socket.create_connection(("127.0.0.1", proxy.port)) as client:
            client.sendall(b"+first\r\n+second\r\n")
            server, _ = listener.accept()
            with server:
                eventually(lambda: not proxy.is_answered(b"second"))
                server.sendall(b"+one\r\n")
                eventually(lambda: proxy.is_answered(b"first"))
                assert not proxy.is_answered(b"second")
                proxy.freeze()
                server.sendall(b"+two\r\n")
                assert client.recv(100) == b"+one\r\n"
                assert not proxy.is_answered(b"second")
                proxy.thaw()
                eventually(lambda: proxy.is_answered(b"second"))
                assert client.recv(100) == b"+two\r\n"
