"""
The errors perfchaos raises on its own account.

Every one names the object that is wrong and the next step for whoever reads it. What the target
does wrong is never an exception here: it is data in a sample.
"""


class PerfchaosError(Exception):
    """
    Something perfchaos needs is missing, wrong or unreachable.

    `problem` names the object and what is wrong with it; `next_step` says what to do about it.
    """

    def __init__(self, problem: str, *, next_step: str) -> None:
        super().__init__(f"{problem}: {next_step}")
        self.problem = problem
        self.next_step = next_step


class InvalidInput(PerfchaosError):
    """A file, an argument or a variable given by the user does not make sense."""

    def __init__(self, subject: str, mistakes: list[str], *, next_step: str) -> None:
        listed = "; ".join(mistakes)
        super().__init__(f"{subject} is not usable: {listed}", next_step=next_step)
        self.mistakes = tuple(mistakes)


class Unanswered(PerfchaosError):
    """Whoever was asked has not answered: it may still do what it was asked for."""
