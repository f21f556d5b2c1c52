"""What every loopback remote can be asked, whatever its kind.

Promises: `environment` is all that rclone needs: with it, `remote` and nothing else in the
          environment, the real rclone reaches this remote and no other place.
          Paths are relative to `remote`, with slashes, as rclone lists them.
"""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

ARCHIVE = "archive"
"""The folder on every remote that holds the mirror; it exists only once something is in it."""


class Remote(ABC):
    """One remote; a context manager that starts and stops it.

    Attributes:
        remote: rclone's name of the place, such as `S3:bucket/archive`.
        port: of 127.0.0.1, its own over stop and start; 0 where nothing ever listens.
    """

    remote: str
    port: int = 0

    @property
    def environment(self) -> dict[str, str]:
        """The environment of an rclone that talks to this remote."""
        return self.environment_at(self.port)

    @abstractmethod
    def environment_at(self, port: int) -> dict[str, str]:
        """As `environment`, but by way of another port, such as that of a `Cut`."""

    @abstractmethod
    def start(self) -> None:
        """Make it reachable; what it held is still there."""

    @abstractmethod
    def stop(self) -> None:
        """Make it unreachable, and cut every connection."""

    @abstractmethod
    def paths(self) -> set[str]:
        """Every file it holds."""

    @abstractmethod
    def read(self, path: str) -> bytes:
        """The bytes of a file; raises FileNotFoundError."""

    @abstractmethod
    def write(self, path: str, data: bytes) -> None:
        """Put a file there behind rclone's back."""

    @abstractmethod
    def spoil(self, path: str) -> None:
        """Flip the middle byte of a file: same size, other bytes; raises FileNotFoundError."""

    @abstractmethod
    def vanish(self, path: str) -> None:
        """Remove a file; raises FileNotFoundError."""

    def config_text(self) -> str:
        """The same configuration as the text of an rclone.conf, for who reads credentials there.

        What is no RCLONE_CONFIG_<NAME>_* (a proxy, a CA, a pacer) stays in `environment`.
        """
        name = self.remote.partition(":")[0]
        prefix = f"RCLONE_CONFIG_{name}_"
        lines = [
            f"{key.removeprefix(prefix).lower()} = {value}"
            for key, value in self.environment.items()
            if key.startswith(prefix)
        ]
        return "\n".join([f"[{name}]", *lines, ""]) if lines else ""

    def __enter__(self) -> Self:
        """Start, and give the remote."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()


def flipped(data: bytes) -> bytes:
    """The same bytes with one bit of the middle one changed; raises ValueError when empty."""
    if not data:
        raise ValueError("spoiling a file: it is empty")
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
