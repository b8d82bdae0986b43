"""How a command of the program ended."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    said: str
    complained: str

    def assert_wrong(self, *codes: int) -> None:
        """Say that one line told what is wrong, and that nothing else came out."""
        assert self.code in codes, self
        assert self.complained.count("\n") == 1, self
        assert "Traceback" not in self.complained + self.said
        assert "fault of the program" not in self.complained


Run = Callable[..., Ended]
