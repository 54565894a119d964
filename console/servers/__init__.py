"""The servers in a box: PostgreSQL and Valkey out of their wheels, as this user or as nobody, in one private folder."""

from typing import TYPE_CHECKING, Self

from console.servers.errors import LocalStackError, ServerError, UserError
from console.servers.postgres import Postgres
from console.servers.server import Server
from console.servers.valkey import Valkey

if TYPE_CHECKING:  # console.data_dir asks this package who the servers' user is
    from console.data_dir import DataDir

__all__ = ["LocalStackError", "Postgres", "Server", "ServerError", "Servers", "UserError", "Valkey"]


class Servers:
    """Both servers of a home, as one context. Enter it from the main thread."""

    def __init__(self, data_dir: "DataDir") -> None:
        self.data_dir = data_dir
        self.postgres = Postgres(data_dir)
        self.valkey = Valkey(data_dir)

    @property
    def env(self) -> dict[str, str]:
        """What the product's processes have to be told."""
        return {
            "MONEYBACK_DATABASE_URL": self.postgres.app_url,
            "MONEYBACK_DATABASE_OWNER_URL": self.postgres.owner_url,
            "MONEYBACK_BROKER_URL": self.valkey.url,
            "MONEYBACK_SECRET_KEY": self.data_dir.secrets.secret_key,
            "MONEYBACK_SENT_MAIL_DIR": str(self.data_dir.outbox),
            "MONEYBACK_INCOMING_MAIL_DIR": str(self.data_dir.inbox),
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
        """Starts a server again that died, and says which: call it now and then, from the main thread."""
        dead = [server for server in (self.valkey, self.postgres) if not server.running]
        return [server.start().name for server in dead]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
