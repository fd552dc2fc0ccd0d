"""Where Redis is and how to log in."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from redis.asyncio import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAddress:
    """One server, or any node of a Redis Cluster.

    `timeout` is how many seconds may pass without a byte while replies are awaited, `connect_timeout` how many
    connecting may take. With `tls`, the server's certificate and host name are checked against `ca_file` (the system's
    authorities where None); `certificate_file` and `key_file` are the client's own (PEM). A non-empty `prefix` goes
    before every key, with a colon, so that several deployments can share a server.
    """

    host: str = "127.0.0.1"
    port: int = 6379
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    database: int = 0
    tls: bool = False
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    prefix: str = ""
    cluster: bool = False
    timeout: float = 5.0
    connect_timeout: float = 2.0

    def __post_init__(self) -> None:
        if set(self.prefix) & set("{}"):
            raise ValueError(f"prefix must not contain braces, which set the hash slot: {self.prefix!r}")
        if self.cluster and self.database:
            raise ValueError(f"a Redis Cluster has database 0 only, not {self.database}")

    @classmethod
    def from_url(cls, url: str, **others: Any) -> "RedisAddress":
        """Read `redis[s]://[[user]:password@]host[:port][/database]`; `others` are fields of this class and win.

        Raises ValueError where the URL is not of this form; the message does not repeat the password.
        """
        parts = urlsplit(url)
        database = parts.path.lstrip("/")
        if parts.scheme not in ("redis", "rediss") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("a Redis URL reads redis[s]://[[user]:password@]host[:port][/database]")
        if database and not database.isdecimal():
            raise ValueError(f"the database of a Redis URL is a number, not {database!r}")
        found: dict[str, Any] = {
            "host": parts.hostname,
            "port": parts.port or 6379,
            "username": unquote(parts.username) if parts.username else None,
            "password": unquote(parts.password) if parts.password else None,
            "database": int(database or 0),
            "tls": parts.scheme == "rediss",
        }
        return cls(**{**found, **others})

    def key(self, name: str) -> str:
        """Put the prefix before a key's name."""
        return f"{self.prefix}:{name}" if self.prefix else name

    def connection(self, host: str, port: int) -> Connection:
        """Make a connection, not yet opened, to the node at `host` and `port` with this login."""
        options: dict[str, Any] = {
            "host": host,
            "port": port,
            "db": self.database,
            "username": self.username,
            "password": self.password,
            "socket_timeout": self.timeout,
            "socket_connect_timeout": self.connect_timeout,
            "protocol": 2,
            # A repeated EXEC could apply a commit twice: whoever calls decides what to do next.
            "retry": Retry(NoBackoff(), 0),
        }
        if not self.tls:
            return Connection(**options)
        return SSLConnection(
            ssl_ca_certs=self.ca_file, ssl_certfile=self.certificate_file, ssl_keyfile=self.key_file, **options
        )
