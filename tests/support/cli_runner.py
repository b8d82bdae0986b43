"""The result of a command that a test ran."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class CommandResult:
    """The exit code and the output of a command."""

    exit_code: int
    stdout: str
    stderr: str

    def assert_one_error_line(self, *exit_codes: int) -> None:
        """Assert that the command printed one line of error message and nothing else."""
        assert self.exit_code in exit_codes, self
        assert self.stderr.count("\n") == 1, self
        assert "Traceback" not in self.stderr + self.stdout
        assert "bug in the program" not in self.stderr


RunCommand = Callable[..., CommandResult]
