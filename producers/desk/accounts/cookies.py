"""The cookie that carries a session's token, and addresses to which a sign-in may lead."""

import re
from typing import Final

from starlette.requests import HTTPConnection
from starlette.responses import Response

from config.desk_settings import DeskSettings

NAME: Final = "moneyback-desk"
_LOCAL_PATH = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]*")


def is_secure(settings: DeskSettings) -> bool:
    """Return whether support opens the desk by HTTPS."""
    return settings.url.startswith("https://")


def cookie_name(settings: DeskSettings, name: str = NAME) -> str:
    """Return the name of a cookie. By HTTPS, the prefix makes browsers refuse this cookie from any other host (RFC 6265bis)."""
    return f"__Host-{name}" if is_secure(settings) else name


def read_cookie(connection: HTTPConnection, settings: DeskSettings, name: str = NAME) -> str:
    """Return the value of a cookie, or an empty text."""
    return connection.cookies.get(cookie_name(settings, name), "")


def set_cookie(
    response: Response, settings: DeskSettings, value: str, *, name: str = NAME, seconds: int | None = None
) -> None:
    """Set a cookie that no script can read, and that no other site's form can send. It ends with the browser."""
    response.set_cookie(
        cookie_name(settings, name),
        value,
        max_age=seconds,
        path="/",
        secure=is_secure(settings),
        httponly=True,
        samesite="lax",
    )


def delete_cookie(response: Response, settings: DeskSettings, name: str = NAME) -> None:
    """Delete a cookie."""
    response.delete_cookie(
        cookie_name(settings, name), path="/", secure=is_secure(settings), httponly=True, samesite="lax"
    )


def local_path(path: str) -> str:
    """Return the path if it is an address of the desk, or else the first page. A link must not lead to another site."""
    return path if _LOCAL_PATH.fullmatch(path) else "/"
