"""Upload quota of one client, and of all, in bytes on disk."""

from __future__ import annotations

import ipaddress
from collections import Counter, deque
from dataclasses import dataclass, field

# Least size that an upload counts as: a file of one byte costs a folder, a name and an entry here, too. It also bounds
# the number of entries.
LEAST_BYTES = 65_536


@dataclass
class Quota:
    """Upload quota a client and in total, over the time that uploads are kept.

    Attributes:
        of_client, of_all: bytes.
        kept_s: how long an upload stays on disk at most.
    """

    of_client: int
    of_all: int
    kept_s: float
    _taken: deque[tuple[float, str, int]] = field(default_factory=deque)
    _of: Counter[str] = field(default_factory=Counter)
    _sum: int = 0

    def take(self, client: str, size: int, now: float) -> bool:
        """Book an upload; False where it does not fit, and nothing is booked then."""
        while self._taken and now - self._taken[0][0] > self.kept_s:
            _, other, gone = self._taken.popleft()
            self._sum -= gone
            self._of[other] -= gone
            if self._of[other] <= 0:
                del self._of[other]
        size = max(size, LEAST_BYTES)
        if self._sum + size > self.of_all or self._of[client] + size > self.of_client:
            return False
        self._taken.append((now, client, size))
        self._of[client] += size
        self._sum += size
        return True


def client_of(address: str) -> str:
    """Client of an address: of IPv6 its /64, which one client usually has.

    >>> client_of("192.0.2.7"), client_of("2001:db8::1:2:3:4"), client_of("testclient")
    ('192.0.2.7', '2001:db8::/64', 'testclient')
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network(f"{address.partition('%')[0]}/64", strict=False))
