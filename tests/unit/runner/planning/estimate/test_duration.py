from dataclasses import replace

import pytest

from runner.planning.estimate.duration import (
    PHASES,
    TEARDOWN_S,
    Correction,
    Durations,
    Hardware,
    Work,
    answer_tokens_per_s,
    estimate_durations,
)
from runner.planning.estimate.gpu_specs import find_gpu
from runner.planning.estimate.ranges import NOTHING, Range

WORK = Work(
    train_tokens=2_000_000,
    eval_tokens=40_000,
    generated_tokens=2_048,
    model_bytes=16_000_000_000,
    package_bytes=4_000_000_000,
    data_bytes=2_000_000,
    adapter_bytes=168_000_000,
    parameters=8_030_000_000,
    trainable_parameters=42_000_000,
    checkpointing=True,
    is_packed=True,
)
RENTED = Hardware("lambda", find_gpu("A100", 80.0))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"parameters": 0}, "are at least 1"),
        ({"micro_batch_tokens": 0}, "are at least 1"),
        ({"generation_batch": 0}, "are at least 1"),
        ({"train_tokens": -1}, "no amount is below 0"),
        ({"adapter_bytes": -1}, "no amount is below 0"),
        ({"staged_bytes": WORK.model_bytes + 1}, "are sent of a model of"),
    ],
)
def test_work_that_cannot_be_is_refused(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(WORK, **wrong)


def estimated(work: Work = WORK, machine: Hardware = RENTED, correction: Correction | None = None) -> Durations:
    found = estimate_durations(work, machine, correction)
    assert found is not None
    return found


def test_a_run_has_all_phases_in_order_and_their_sum() -> None:
    durations = estimated()

    assert tuple(durations.seconds) == PHASES
    assert durations.total_s.expected == pytest.approx(sum(value.expected for value in durations.seconds.values()))
    assert all(value.low > 0 for value in durations.seconds.values())


def test_training_takes_the_tokens_over_their_speed() -> None:
    durations = estimated()

    assert durations.seconds["train"] == durations.tokens_per_s.into(WORK.train_tokens)
    assert durations.seconds["train"].low < durations.seconds["train"].high


def test_a_gpu_of_unknown_speed_has_no_estimate() -> None:
    assert estimate_durations(WORK, Hardware("local", find_gpu("Apple M3 Max"))) is None


def test_here_nothing_boots_nothing_is_sent_and_nothing_is_ended_for_long() -> None:
    durations = estimated(machine=Hardware("local", cpu_cores=2))

    assert (durations.seconds["boot"], durations.seconds["upload"]) == (NOTHING, NOTHING)
    assert durations.seconds["teardown"].high < TEARDOWN_S.low


def test_several_gpus_of_lambda_boot_longer() -> None:
    one, eight = (estimated(machine=replace(RENTED, gpu_count=count)).seconds["boot"] for count in (1, 8))

    assert one == Range(180.0, 240.0, 300.0)
    assert (eight.low, eight.high) == (600.0, 900.0)


def test_a_cloud_that_nobody_timed_has_the_widest_range() -> None:
    known = [estimated(machine=replace(RENTED, environment=name)).seconds["boot"] for name in ("aws", "runpod")]
    other = estimated(machine=replace(RENTED, environment="vastai")).seconds["boot"]

    assert all(other.low <= boot.low and boot.high <= other.high for boot in known)


def test_weights_that_are_sent_from_home_take_the_line_of_home() -> None:
    fetched, sent = (
        estimated(replace(WORK, staged_bytes=staged)).seconds["weights"] for staged in (0, WORK.model_bytes)
    )

    assert sent.expected - fetched.expected > 6000  # 16 GB at 20 Mbit/s, rather than at some hundred megabytes


def test_packages_that_are_there_are_not_downloaded() -> None:
    cold, warm = (estimated(replace(WORK, package_bytes=size)).seconds["environment"] for size in (4_000_000_000, 0))

    assert warm.high == pytest.approx(36.9 + 6.4)
    assert cold.expected > warm.expected


def test_answers_that_grow_together_take_less_time() -> None:
    alone, together = (estimated(replace(WORK, generation_batch=size)).seconds["evaluation"] for size in (1, 8))

    assert together.expected < alone.expected


def test_an_answer_grows_more_slowly_the_larger_the_model_is() -> None:
    assert answer_tokens_per_s(7e9) == answer_tokens_per_s(6.9e9)
    assert answer_tokens_per_s(70e9).high < answer_tokens_per_s(13e9).high


def test_padded_rows_may_take_twice_as_long() -> None:
    packed, padded = (estimated(replace(WORK, is_packed=value)).seconds["train"] for value in (True, False))

    assert (padded.low, padded.expected) == (packed.low, packed.expected)
    assert padded.high == pytest.approx(2.05 * packed.high)


def test_the_quickstart_on_two_cores_is_within_the_range() -> None:
    work = replace(
        WORK, train_tokens=11_523, eval_tokens=5_200, generated_tokens=768, model_bytes=98_362_432, package_bytes=0,
        adapter_bytes=19_600_000, parameters=134_515_008, trainable_parameters=4_884_480, checkpointing=False,
    )  # fmt: skip
    durations = estimated(work, Hardware("local", cpu_cores=2))

    assert durations.seconds["train"].low < 67.14 < durations.seconds["train"].high
    assert durations.seconds["evaluation"].low < 25.15 < durations.seconds["evaluation"].high


def test_one_run_of_ones_own_moves_the_range_and_keeps_its_width() -> None:
    table = estimated()
    own = estimated(correction=Correction(speed_ratios=(0.5,), basis="1 run"))

    assert own.tokens_per_s.expected == pytest.approx(table.tokens_per_s.expected / 2)
    assert own.tokens_per_s.high / own.tokens_per_s.low == pytest.approx(
        table.tokens_per_s.high / table.tokens_per_s.low
    )
    assert own.seconds["train"].expected == pytest.approx(2 * table.seconds["train"].expected)
    assert own.basis[-1] == "corrected by 1 run"


def test_three_runs_of_ones_own_are_the_range() -> None:
    own = estimated(correction=Correction(tokens_per_s=(2100.0, 1900.0, 2000.0)))

    assert own.tokens_per_s == Range(1900.0, 2000.0, 2100.0)


def test_phases_are_corrected_by_what_they_took() -> None:
    own = estimated(correction=Correction(seconds={"boot": (90.0,)}, ratios={"weights": (2.0,)}))
    table = own.table_seconds

    assert own.seconds["boot"].expected == pytest.approx(90.0)
    assert own.seconds["weights"].expected == pytest.approx(2 * table["weights"].expected)
    assert own.seconds["teardown"] == table["teardown"]


def test_the_tables_word_is_kept_beside_the_corrected_one() -> None:
    own = estimated(correction=Correction(speed_ratios=(0.5,)))

    assert own.table_tokens_per_s == estimated().tokens_per_s
    assert own.table_seconds == estimated().seconds


def test_plain_data_reports_all_of_it() -> None:
    told = estimated().to_mapping()

    assert list(told["seconds_by_phase"]) == list(PHASES)
    assert told["table_tokens_per_s"] == told["tokens_per_s"]
    assert told["basis"] == ["speed: measured on A100 SXM 80 GB"]
    assert told["sources"]
