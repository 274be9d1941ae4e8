"""Each fault of training, of the store and of collecting that Douse has to survive: where whole runs meet it.

A row is met by a rehearsal (an emulated cloud, a machine of its own), or by a whole run on a store that is real but for
its owner. Where the trainer itself is at fault, the rest of the run is the same for all of them: one rehearsal has its
words, its checkpoint and its machine, and the trainer's own tests have each fault by itself, with a real trainer.
"""

from __future__ import annotations

import pytest

from tests.unit.test_gpu_faults import TESTS, exists, functions_of

TRAINING, RECOVERY = "rehearsal/test_training_faults.py", "rehearsal/test_recovery.py"
S3, OUTBOX = "unit/runner/lifecycle/test_runs_on_s3.py", "unit/trainer/supervisor/test_outbox.py"
ACCEPTANCE = "unit/trainer/proof/test_acceptance.py"
LOST = (TRAINING, "test_a_machine_that_is_lost_without_a_word_is_followed_by_another_one")
AWAY = (TRAINING, "test_a_machine_out_of_reach_for_a_while_trains_on_and_is_followed_again")
FAILS = (TRAINING, "test_a_training_that_fails_ends_with_its_words_its_checkpoint_and_no_machine")
ON_A_STORE = (S3, "test_a_run_that_fails_goes_on_from_the_store_and_ends_with_a_receipt")
NEWEST_WHOLE = (S3, "test_of_what_is_in_the_store_the_newest_whole_checkpoint_counts")
ROWS: dict[str, list[tuple[str, str]]] = {
    "spot_notice": [
        (RECOVERY, "test_a_spot_machine_of_aws_hears_that_it_goes_saves_and_the_run_goes_on_with_another_one"),
        LOST,
    ],
    "box_killed": [LOST],
    "box_stopped_outside": [LOST],
    "box_deleted_in_console": [
        (RECOVERY, "test_a_run_whose_machine_vanishes_goes_on_with_another_one_within_what_was_agreed_to")
    ],
    "network_partition": [
        AWAY,
        LOST,
        (TRAINING, "test_a_machine_that_is_cut_off_for_longer_than_its_lease_is_followed_by_another_one"),
    ],
    "ssh_dropped": [AWAY],
    "laptop_sleeps": [AWAY],
    "oom@step": [
        (TRAINING, "test_a_run_that_is_short_of_memory_late_goes_on_with_less_to_its_last_step"),
        (
            "unit/trainer/training/test_phases_out_of_memory.py",
            "test_a_run_that_is_short_of_memory_twice_has_the_steps_of_an_undisturbed_one",
        ),
    ],
    "stall@step": [
        (TRAINING, "test_a_loop_that_stands_still_is_started_again_from_its_checkpoint"),
        (TRAINING, "test_a_loop_that_stands_still_again_ends_with_its_checkpoint_at_home"),
    ],
    "nan_loss": [FAILS, ("unit/trainer/test_findings.py", "test_a_loss_that_is_not_a_number_is_never_logged_as_zero")],
    "all_labels_masked": [
        FAILS,
        (
            "unit/trainer/data/test_long_samples.py",
            "test_a_cut_that_leaves_nothing_to_learn_is_refused_with_the_way_to_leave_it_out",
        ),
    ],
    "zero_length_sample": [
        FAILS,
        ("unit/trainer/data/test_bad_samples.py", "test_all_bad_samples_of_both_splits_are_named_in_one_go"),
    ],
    "disk_full_on_box": [
        ("rehearsal/test_kills.py", "test_what_the_runner_loses_costs_no_machine"),
        ("rehearsal/test_lease.py", "test_a_lease_survives_what_befalls_its_machine"),
    ],
    "upload_slow": [
        ON_A_STORE,
        (OUTBOX, "test_of_several_the_newest_goes_and_the_others_are_named"),
        (OUTBOX, "test_one_that_the_trainer_removes_while_it_is_sent_arrives_whole"),
    ],
    "upload_503": [ON_A_STORE],
    "upload_cut_mid_file": [ON_A_STORE],
    "manifest_missing": [NEWEST_WHOLE],
    "file_corrupt": [NEWEST_WHOLE],
    "credentials_expire_mid_run": [
        ON_A_STORE,
        (OUTBOX, "test_new_credentials_open_the_store_anew"),
        ("unit/runner/store/test_arming.py", "test_credentials_are_renewed_long_before_they_end"),
    ],
    "bucket_forbidden": [
        (S3, "test_where_the_store_takes_nothing_any_more_all_is_at_home_and_the_error_says_so"),
        (
            "unit/runner/lifecycle/steps/test_plan.py",
            "test_a_store_that_cannot_be_written_is_reported_before_anything_is_there",
        ),
    ],
    "adapter_equals_base": [FAILS, (ACCEPTANCE, "test_a_broken_adapter_is_refused")],
    "adapter_keys_wrong": [FAILS, (ACCEPTANCE, "test_a_broken_adapter_is_refused")],
    "base_changed": [FAILS, (ACCEPTANCE, "test_a_base_model_that_training_changed_is_refused")],
    "tokenizer_missing": [FAILS, (ACCEPTANCE, "test_a_missing_file_is_refused")],
}
"""The file and the name of each test, by the fault. ``hub_403_at_end`` cannot happen: nothing goes to the Hub."""


def is_a_whole_run(path: str) -> bool:
    return path.startswith("rehearsal/") or path == S3


@pytest.mark.parametrize("row", ROWS)
def test_each_fault_is_met_by_a_whole_run(row: str) -> None:
    assert any(is_a_whole_run(path) for path, _ in ROWS[row])
    assert [one for one in ROWS[row] if not exists(*one)] == []


def test_each_test_of_such_faults_stands_in_a_row() -> None:
    named = {one for tests in ROWS.values() for one in tests}
    found = {(TRAINING, name) for name in functions_of(TESTS / TRAINING) if name.startswith("test_")}

    assert found - named == set()
