from __future__ import annotations

import pytest

from runner.emulation.faults import FaultQueue, FaultRefusedError
from runner.rehearsal.services import known_faults


def queue(*clouds: str, has_real_boxes: bool = True) -> FaultQueue:
    return FaultQueue(known_faults(), served=clouds or None, has_real_boxes=has_real_boxes)


def test_fault_that_there_is_not_is_refused() -> None:
    with pytest.raises(FaultRefusedError, match="no fault 'launch_5000'"):
        queue().add("launch_5000")


def test_fault_that_does_not_fit_the_cloud_is_refused_with_the_reason() -> None:
    with pytest.raises(FaultRefusedError) as refused:
        queue("lambda").add("ssh_port_unmapped")

    assert "does not happen on lambda: its machines have an address of their own" in refused.value.message
    assert refused.value.resolution == "use it on runpod"


def test_fault_goes_to_the_first_cloud_that_it_fits() -> None:
    assert queue().add("leftover_address").cloud == "aws"


def test_fault_for_a_cloud_that_is_not_served_is_refused() -> None:
    with pytest.raises(FaultRefusedError, match="is for aws, which is not served"):
        queue("lambda").add("terminate_500", None, {"cloud": "aws"})


def test_fault_that_needs_a_network_is_refused_without_namespaces() -> None:
    with pytest.raises(FaultRefusedError, match="needs machines with a network and a disk of their own"):
        queue("lambda", has_real_boxes=False).add("ssh_never_answers")


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("terminate_slow", {"second": 3}, "has no argument 'second'"),
        ("terminate_slow", {"seconds": "soon"}, "seconds is 'soon'"),
        ("terminate_500", {"when": "later"}, "when is 'later'"),
        ("key_invalid", {"at": "noon"}, "at is 'noon'"),
        ("no_capacity", {"candidates": "few"}, "candidates is 'few'"),
        ("launch_500_after_create", {"lost": "perhaps"}, "lost is 'perhaps'"),
    ],
)
def test_argument_that_makes_no_sense_is_refused(name: str, arguments: dict[str, str], words: str) -> None:
    with pytest.raises(FaultRefusedError, match=words):
        queue().add(name, None, arguments)


def test_count_of_nothing_is_refused() -> None:
    with pytest.raises(FaultRefusedError, match="cannot fire 0 times"):
        queue().add("terminate_500", 0)


def test_fault_fires_as_often_as_it_was_asked_for() -> None:
    faults = queue("lambda")
    faults.add("terminate_500", 2)

    fired = [faults.take("terminate_500", "lambda", at=0.0) is not None for _ in range(3)]

    assert fired == [True, True, False]


def test_fault_lets_the_first_requests_by_when_it_is_asked_to() -> None:
    faults = queue("lambda")
    faults.add("listing_500", 1, {"after": 2})

    fired = [faults.take("listing_500", "lambda", at=0.0) is not None for _ in range(4)]

    assert fired == [False, False, True, False]


def test_fault_waits_for_its_stage() -> None:
    faults = queue("lambda")
    faults.add("listing_500", 1, {"when": "ended"})

    assert faults.take("listing_500", "lambda", at=0.0, stages=("any", "machine")) is None
    assert faults.take("listing_500", "lambda", at=0.0, stages=("any", "machine", "ended")) is not None


def test_no_capacity_refuses_the_first_candidates_however_often_they_are_asked_for() -> None:
    faults = queue("lambda")
    faults.add("no_capacity", 2)

    refused = [faults.refuses(candidate, "lambda", 0.0) for candidate in ("a", "a", "b", "c", "a", "c")]

    assert refused == [True, True, True, False, True, False]


def test_no_capacity_can_refuse_all() -> None:
    faults = queue("lambda")
    faults.add("no_capacity", None, {"candidates": "all"})

    assert all(faults.refuses(str(number), "lambda", 0.0) for number in range(20))


def test_no_capacity_may_pass() -> None:
    faults = queue("lambda")
    faults.add("no_capacity", None, {"candidates": "all", "lasts_s": 60.0})

    assert [faults.refuses("a", "lambda", at) for at in (100.0, 159.0, 160.0, 500.0)] == [True, True, False, False]


def test_no_capacity_may_come_once_there_was_a_machine() -> None:
    faults = queue("lambda")
    faults.add("no_capacity", None, {"candidates": "all", "when": "ended"})

    assert not faults.refuses("a", "lambda", 0.0, stages=("any", "machine"))
    assert faults.refuses("a", "lambda", 0.0, stages=("any", "machine", "ended"))


def test_report_shows_what_never_fired() -> None:
    faults = queue("lambda")
    faults.add("terminate_500")
    faults.add("listing_500", "always")
    faults.take("listing_500", "lambda", at=7.0, on="/instances")

    report = faults.report()

    assert report["never_fired"] == ["terminate_500"]
    assert report["fired"] == [{"name": "listing_500", "cloud": "lambda", "at": 7.0, "on": "/instances"}]
