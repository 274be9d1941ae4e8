"""Ten ways in which a run on a GPU would fail or be worth less: each has a test here and one that waits for a GPU.

The tests here show on a CPU what a user would see; those in tests/gpu run with ``make test-gpu``.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
FAULTS: dict[str, list[tuple[str, str]]] = {
    "mixtures of experts do not fit where they are planned": [
        ("unit/runner/planning/checks/test_base_model.py", "test_a_mixture_of_experts_fails_in_one_line"),
        ("unit/test_model_families.py", "test_every_mixture_of_experts_is_refused_in_one_line"),
        ("gpu/test_base_models_on_gpu.py", "test_experts_are_not_quantised_which_is_why_the_plan_refuses_them"),
    ],
    "the slowest GPU comes first, and computes in float32": [
        (
            "unit/runner/planning/test_choose.py",
            "test_a_gpu_without_bfloat16_and_one_of_unknown_speed_go_last_however_cheap",
        ),
        ("unit/runner/planning/checks/test_gpus.py", "test_bfloat16_is_refused_on_a_gpu_without_it_and_auto_is_not"),
        (
            "unit/trainer/training/test_qlora_trainer.py",
            "test_in_float16_the_steps_are_those_of_float32_to_a_few_digits",
        ),
        (
            "unit/trainer/checkpoints/test_complete.py",
            "test_in_float16_a_checkpoint_without_its_scaler_is_not_complete",
        ),
        ("gpu/test_training_on_gpu.py", "test_a_run_in_float16_is_accepted_and_its_checkpoints_hold_the_scaler"),
        ("gpu/test_machine_on_gpu.py", "test_the_table_of_gpus_has_this_ones_capability"),
    ],
    "several GPUs are rented and one is used": [
        ("unit/runner/planning/test_candidates.py", "test_a_machine_with_several_gpus_is_left_out_unless_it_is_named"),
        ("unit/trainer/test_one_gpu.py", "test_the_first_gpu_that_may_be_used_is_the_only_one"),
        ("gpu/test_base_models_on_gpu.py", "test_a_run_sees_one_gpu_of_several"),
    ],
    "the same run gives other bytes": [
        ("unit/trainer/test_gpu_environment.py", "test_it_is_set_before_torch_is_imported"),
        ("unit/trainer/training/test_determinism.py", "test_our_own_training_and_evaluation_have_a_deterministic_form"),
        ("gpu/test_training_on_gpu.py", "test_a_deterministic_run_gives_the_same_bytes_twice"),
    ],
    "a kernel is asked for whose package is not there": [
        ("unit/runner/planning/checks/test_recipe.py", "test_the_plan_refuses_a_kernel_whose_package_is_not_locked"),
        ("gpu/test_base_models_on_gpu.py", "test_attention_is_that_of_pytorch_and_another_one_is_refused"),
    ],
    "the driver is too old for the build of CUDA": [
        ("unit/runner/planning/checks/test_gpus.py", "test_the_driver_says_which_pytorch_it_will_be"),
        (
            "unit/playbooks/test_driver_choice.py",
            "test_a_driver_that_is_too_old_for_all_is_refused_before_anything_is_downloaded",
        ),
        ("gpu/test_machine_on_gpu.py", "test_the_driver_can_run_a_build_that_is_locked"),
    ],
    "there is no C compiler for Triton": [
        ("unit/trainer/test_findings.py", "test_without_a_compiler_a_gpu_computes_the_same_loss_without_triton"),
        ("unit/trainer/training/test_compiling.py", "test_a_missing_compiler_and_missing_headers_are_named"),
        ("gpu/test_machine_on_gpu.py", "test_the_machine_computes_right_and_triton_compiles"),
        ("gpu/test_machine_on_gpu.py", "test_a_run_without_a_compiler_says_so_and_has_the_losses_of_one_with"),
    ],
    "an adapter made on a GPU is refused at home": [
        ("unit/trainer/proof/test_same_base.py", "test_an_adapter_made_on_a_gpu_is_known_at_home_by_the_files"),
        (
            "gpu/test_base_models_on_gpu.py",
            "test_an_adapter_made_on_a_gpu_is_accepted_on_a_processor_and_loading_was_reported",
        ),
    ],
    "another commit is trained than was planned, and loading is silent": [
        ("unit/runner/lifecycle/test_pinning.py", "test_the_plan_pins_the_commit_that_it_saw"),
        ("unit/runner/lifecycle/test_pinning.py", "test_a_resume_stays_with_that_commit_whatever_is_newest"),
        ("unit/trainer/base_model/test_progress.py", "test_transformers_reports_its_tensors_here"),
        (
            "unit/trainer/base_model/test_hub_snapshot.py",
            "test_where_xet_storage_fails_the_download_is_made_over_plain_http",
        ),
        (
            "gpu/test_base_models_on_gpu.py",
            "test_an_adapter_made_on_a_gpu_is_accepted_on_a_processor_and_loading_was_reported",
        ),
    ],
    "memory is kept, mistaken or short": [
        ("unit/trainer/training/test_release.py", "test_an_embedding_that_bitsandbytes_held_goes_with_its_model"),
        ("unit/trainer/test_environment.py", "test_the_memory_of_a_gpu_is_what_was_reserved_as_the_plan_predicts_it"),
        ("unit/trainer/shortage/test_forms.py", "test_each_form_of_out_of_memory_is_recognised_and_put_in_one_line"),
        (
            "unit/trainer/test_gpu_environment.py",
            "test_the_allocator_is_the_users_and_a_deterministic_run_has_its_workspace",
        ),
        ("unit/trainer/proof/test_evaluation.py", "test_a_model_is_evaluated_in_the_number_format_of_training"),
        (
            "gpu/test_training_on_gpu.py",
            "test_nothing_of_a_model_stays_on_the_gpu_after_training_with_an_8_bit_optimizer",
        ),
        (
            "gpu/test_training_on_gpu.py",
            "test_a_shortage_of_cudas_own_is_recognised_and_the_run_goes_on_with_fewer_rows",
        ),
        ("gpu/test_memory_on_gpu.py", "test_the_prediction_is_within_a_quarter_of_what_was_reserved"),
    ],
}
"""The file and the name of each test, by the fault that it is about."""


def functions_of(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)}


def exists(path: str, test: str) -> bool:
    return (TESTS / path).is_file() and test in functions_of(TESTS / path)


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_a_test_without_a_gpu_and_one_with(fault: str) -> None:
    named = FAULTS[fault]

    assert {path.partition("/")[0] for path, _ in named} == {"unit", "gpu"}
    assert [one for one in named if not exists(*one)] == []


def test_a_test_that_does_not_exist_is_missed() -> None:
    path = "gpu/test_machine_on_gpu.py"

    assert exists(path, "test_the_machine_computes_right_and_triton_compiles")
    assert not exists(path, "test_nothing")
    assert not exists("gpu/test_nothing.py", "test_nothing")


def test_every_test_that_waits_for_a_gpu_is_about_one_of_them_or_a_whole_run() -> None:
    named = {one for tests in FAULTS.values() for one in tests}
    found = {
        (f"gpu/{path.name}", name)
        for path in (TESTS / "gpu").glob("test_*.py")
        for name in functions_of(path)
        if name.startswith("test_")
    }

    assert {name for _, name in found - named} == {
        "test_a_short_run_trains_in_bfloat16_and_reports_the_memory_of_the_gpu"
    }
