"""A wall clock that can be set, for processes that are started with it. Their monotonic clock goes on undisturbed."""

from __future__ import annotations

from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

HOUR_S = 3600


class Clock:
    """Shows the true time until it is set. `environment` is what a process needs to go by it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)
        # Servers may run as somebody else.
        file.chmod(0o644)

    def set(self, ahead_s: float) -> None:
        """Show the true time and so much more; less than 0 sets it back. Processes see it at once."""
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{ahead_s:+.3f}\n")
        draft.chmod(0o644)
        draft.replace(self._file)

    @property
    def environment(self) -> dict[str, str]:
        found = find_spec("libfaketime")
        assert found is not None
        assert found.origin is not None
        library = Path(found.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
            "FAKETIME_DISABLE_SHM": "1",
        }


def clear_up() -> None:
    """Remove the shared memory that the library leaves behind of processes that were killed."""
    for left in Path("/dev/shm").glob("*faketime_*"):
        pid = left.name.rpartition("_")[2]
        if pid.isdigit() and not Path("/proc", pid).exists():
            # Somebody else's, or removed by another run of the tests.
            with suppress(OSError):
                left.unlink()
