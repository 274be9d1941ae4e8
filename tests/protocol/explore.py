"""Every state that a run can get into, breadth first, with the rules held against each act."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from runner.errors import TeardownError
from tests.protocol.acts import AGES, NEVER, Act, Result, State, guard, perform, rent, sweep, take_down
from tests.protocol.rules import Step, broken_by
from tests.protocol.stage import LAGS_S, Choice

MOST_REQUESTS = 2
RENTS = (
    Choice("machine", 0.0),
    Choice("no", None),
    Choice("lost", None),
    *(Choice("lost", listed_s) for listed_s in LAGS_S),
)
ENDS = (Choice(), Choice(terraform_works=False), Choice(is_out=True), Choice(terraform_works=False, is_out=True))
LOOKS = (Choice(), Choice(is_out=True))


@dataclass
class Found:
    """What an exploration has found.

    Attributes:
        states: All states, each with the act that first led there and the state before.
        transitions: How many ways lead from one to another.
        calls: How often the product's functions were called.
        broken: The rule that does not hold, or ``None``.
        way: The acts that lead to where it does not.
    """

    states: dict[State, tuple[str, State | None]] = field(default_factory=dict)
    transitions: int = 0
    calls: int = 0
    broken: Callable[[Step], bool] | None = None
    way: list[str] = field(default_factory=list)

    def way_to(self, state: State) -> list[str]:
        """Return the acts that lead to a state."""
        act, before = self.states[state]
        return [act] if before is None else [*self.way_to(before), act]


def explore(crashes: int) -> Found:
    """Explore all states from a planned run on, until a rule is broken or none is left.

    Args:
        crashes: How many processes may be killed.
    """
    first = State(crashes=crashes)
    found, waiting, known = Found({first: ("a run is planned", None)}), deque([first]), _Known()
    while waiting:
        state = waiting.popleft()
        for said, step in _steps(state, known):
            found.transitions += 1
            found.calls = known.calls
            found.broken = broken_by(step)
            if found.broken is not None:
                found.way = [*found.way_to(state), said, str(step.after)]
                return found
            if step.after not in found.states:
                found.states[step.after] = (said, state)
                waiting.append(step.after)
    return found


class _Known:
    """What came of each act in each state of the run's files and machines: who else is there changes nothing of it."""

    def __init__(self) -> None:
        self._results: dict[tuple[Act, State, bool], list[tuple[str, bool, Result]]] = {}
        self.calls = 0

    def results(self, act: Act, state: State, choices: tuple[Choice, ...]) -> Iterator[tuple[str, Step]]:
        """Yield what comes of an act, for each choice of the world and each effect before which it may be killed."""
        bare = _seen_by(act, state)
        for may_be_killed in (False, True) if state.crashes else (False,):
            if (act, bare, may_be_killed) not in self._results:
                self._results[act, bare, may_be_killed] = list(self._all(act, bare, choices, may_be_killed))
            for said, is_answered, result in self._results[act, bare, may_be_killed]:
                after = _with_unseen(act, result.state, state, may_be_killed)
                yield said, Step(act.__name__, is_answered, state, replace(result, state=after))

    def _all(
        self, act: Act, state: State, choices: tuple[Choice, ...], may_be_killed: bool
    ) -> Iterator[tuple[str, bool, Result]]:
        for choice in choices:
            result, effects = perform(act, state, choice)
            said = f"{act.__name__}: {choice}"
            if not may_be_killed:
                self.calls += 1
                yield said, not choice.is_out, result
                continue
            for killed_at in range(effects):
                self.calls += 1
                result, _ = perform(act, state, choice, killed_at)
                yield f"{said}, killed before effect {killed_at}", not choice.is_out, result


def _seen_by(act: Act, state: State) -> State:
    """Return a state without what an act neither reads nor changes: a teardown asks for no lease and no runner."""
    bare = replace(state, guard="", crashes=0)
    return replace(bare, word="", runner=False) if act is take_down else bare


def _with_unseen(act: Act, after: State, before: State, was_killed: bool) -> State:
    """Return what came of an act with what it did not see."""
    after = replace(after, guard=before.guard, crashes=before.crashes - was_killed)
    return replace(after, word=before.word, runner=before.runner) if act is take_down else after


def _steps(state: State, known: _Known) -> Iterator[tuple[str, Step]]:
    """Yield every act that a state allows, with what comes of it."""
    for said, after in _moments(state):
        yield said, Step("", True, state, Result(after, None, False, 0))
    may_rent = not state.runner and not state.bills and (not state.asked or state.down == "done")
    if may_rent and len(state.asked) < MOST_REQUESTS:
        for said, step in known.results(rent, replace(state, guard="watching", runner=True), RENTS):
            yield said, _with(step, runner=not step.result.was_killed, guard="watching")
    if state.began and not state.has_receipt:
        for said, step in known.results(take_down, state, ENDS):
            is_over = not step.result.was_killed and not isinstance(step.result.error, TeardownError)
            yield said, _with(step, runner=False, guard="over" if is_over and state.guard else state.guard)
    if state.began:
        yield from known.results(sweep, state, LOOKS)
    if state.guard == "watching" and not state.runner:
        for said, step in known.results(guard, state, LOOKS[:1]):
            yield said, _with(step, runner=False, guard="dead" if step.result.was_killed else "over")


def _moments(state: State) -> Iterator[tuple[str, State]]:
    """Yield what happens without the product's doing."""
    if state.runner and state.has_host and not state.down:
        yield "the machine gets its lease, which is renewed", replace(state, word="fresh")
    if state.runner and state.crashes:
        yield "the runner is killed", replace(state, runner=False, crashes=state.crashes - 1)
    if state.guard == "watching" and state.crashes:
        yield "the guard is killed", replace(state, guard="dead", crashes=state.crashes - 1)
    if not state.runner:
        listed = tuple(None if one is None else 0.0 for one in state.machines)
        word = "old" if state.word in AGES else NEVER if state.began else ""
        yield "two hours pass", replace(state, word=word, machines=listed)


def _with(step: Step, *, runner: bool, guard: str) -> Step:
    """Return a step after which these two are as given."""
    return replace(step, result=replace(step.result, state=replace(step.after, runner=runner, guard=guard)))
