"""Whatever answers at an address: sshd is there once a whole line begins as its version does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner.provider.ssh_wait import LONGEST_GREETING, sshd_answers
from runner.simulation.world import VirtualWorld
from tests.tools.examples import examples

words = st.binary(max_size=20) | st.sampled_from([b"SSH-2.0-x", b"SSH-", b"\n", b"\r\n", b"HTTP/1.1 400", b"a" * 9000])


class Greeting:
    """A connection that says some parts, and then nothing more or that it is lost."""

    def __init__(self, parts: list[bytes], *, is_lost: bool) -> None:
        self.parts, self.is_lost = [part for part in parts if part], is_lost

    def recv(self, size: int, /) -> bytes:
        if not self.parts:
            if self.is_lost:
                raise ConnectionResetError
            return b""
        part = self.parts.pop(0)
        if part[size:]:
            self.parts.insert(0, part[size:])
        return part[:size]

    def settimeout(self, timeout_s: float | None, /) -> None:
        assert timeout_s is None or timeout_s > 0

    def sendall(self, data: bytes, /) -> None:
        raise AssertionError("nothing is said before the greeting")

    def close(self) -> None:
        pass


@examples(200)
@given(parts=st.lists(words, max_size=8), is_lost=st.booleans())
def test_only_a_line_of_sshds_counts(parts: list[bytes], is_lost: bool) -> None:
    world = VirtualWorld()
    world.servers["203.0.113.7", 22] = lambda: Greeting(parts, is_lost=is_lost)

    found = sshd_answers(world, "203.0.113.7", 22)

    lines = b"".join(parts)[: LONGEST_GREETING - 1024].split(b"\n")[:-1]
    everything = b"".join(parts).split(b"\n")[:-1]
    assert found or not any(line.startswith(b"SSH-") for line in lines)
    assert not found or any(line.startswith(b"SSH-") for line in everything)
