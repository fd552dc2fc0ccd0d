"""Which server holds a key (always the same one, or by the slot map of a Redis Cluster), and the ways to it."""

import asyncio

from redis.crc import key_slot

from store.address import RedisAddress
from store.contract import StoreUnavailable
from store.link import Link, Server


class Servers:
    """Finds servers by key. The slot map of a cluster is read at first use and after `forget`."""

    def __init__(self, address: RedisAddress) -> None:
        self.address = address
        self._first = Server(address.host, address.port)
        self._nodes: list[Server] = [self._first]
        self._by_slot: dict[int, Server] = {}
        self._lock = asyncio.Lock()
        self._links: set[Link] = set()

    def link(self, server: Server) -> Link:
        """Make a connection to `server`, which `close` closes at the latest."""
        link = Link(self.address, server)
        self._links.add(link)
        return link

    async def release(self, link: Link) -> None:
        """Close one connection."""
        self._links.discard(link)
        await link.close()

    async def close(self) -> None:
        """Close all connections."""
        for link in list(self._links):
            await self.release(link)

    async def locate(self, key: bytes) -> Server:
        """Return the server that holds `key`; raise StoreUnavailable where none is known to."""
        if not self.address.cluster:
            return self._first
        async with self._lock:
            if not self._by_slot:
                await self._read_map()
            by_slot = self._by_slot
        server = by_slot.get(key_slot(key))
        if server is None:
            self.forget()
            raise StoreUnavailable(f"no node of the cluster serves the slot of {key!r}")
        return server

    async def masters(self) -> list[Server]:
        """Return every server that holds keys."""
        if not self.address.cluster:
            return [self._first]
        await self.locate(b"")
        return list(dict.fromkeys(self._by_slot.values()))

    def forget(self) -> None:
        """Read the slot map again before the next use: a node refused, moved or does not answer."""
        self._by_slot = {}

    async def _read_map(self) -> None:
        """Ask the nodes known so far, one after the other, until one gives the map."""
        failures = []
        for node in dict.fromkeys([*self._nodes, self._first]):
            link = self.link(node)
            try:
                (ranges,) = await link.ask((b"CLUSTER", b"SLOTS"))
            except StoreUnavailable as failure:
                failures.append(str(failure))
                continue
            finally:
                await self.release(link)
            by_slot: dict[int, Server] = {}
            for first, last, master, *_ in ranges:
                # A node that does not know its own name means the one that was asked.
                server = Server(master[0].decode() if master[0] else node.host, master[1])
                by_slot.update(dict.fromkeys(range(first, last + 1), server))
            self._by_slot = by_slot
            self._nodes = list(dict.fromkeys(by_slot.values())) or self._nodes
            return
        raise StoreUnavailable("no node of the cluster answers: " + "; ".join(failures))
