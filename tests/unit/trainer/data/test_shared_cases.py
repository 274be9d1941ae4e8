"""Small cases of what people bring, kept beside the checkout: what is learned of each, or why it is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.unit.trainer.small_facts import small_facts
from trainer.config import Recipe, resolve_paths
from trainer.data.chat import mask_chat
from trainer.data.samples import encode, load_dataset
from trainer.errors import TrainerError

CASES = Path(__file__).resolve().parents[4].parent / "shared" / "cases" / "data"
LEARNED = {
    "01-weight-zero": ["RIGHT-1<|im_end|>"],
    "02-weight-zero-and-one": ["RIGHT-1<|im_end|>"],
    "04-system-beside-conversations": ["Bird 1, on a wire.<|im_end|>"],
    "06-alpaca-history": ["1 is small.<|im_end|>", "1 is small.<|im_end|>"],
    "17-text-parts": ["Shelf 11.<|im_end|>"],
    "18-empty-system": ["A1.<|im_end|>"],
    "20-ends-with-user": ["Part 1 is on shelf 11.<|im_end|>"],
    "22-developer-role": ["A1.<|im_end|>"],
    "25-thinking-template-multi-turn": ["1 cents.<|im_end|>", "<think>\n\n</think>\n\n2 cents.<|im_end|>"],
    "27-end-of-text-after-the-last-turn": ["1 cents.<|im_end|>", "2 cents.<|im_end|>"],
    "31-date-in-template": ["Part 1 is on shelf 11.<|im_end|>"],
}
REFUSED = {
    "08-images-beside-messages": ("`images`", "text alone"),
    "16-tool-calls": ("the tool 'stock_of'", "data.chat_template_path"),
    "29-system-in-the-last-user-turn": ("turn 1 (system)", "data.system_prompt: first_user_turn"),
    "39-reasoning-content": ("the thought in turn 2", "data.chat_template_path"),
}


def read(case: str, **changes: str) -> list[str]:
    """Return what is learned of the first sample, once the whole file was read."""
    folder = CASES / case
    if not folder.is_dir():
        pytest.skip("the cases are not beside this checkout (../shared/cases/data)")
    recipe = resolve_paths(Recipe.model_validate(yaml.safe_load((folder / "run.yml").read_text())), folder)
    data = recipe.data.model_copy(update=changes)
    facts = small_facts() if data.chat_template_path is None else small_facts(Path(data.chat_template_path).read_text())
    facts = replace(facts, system_prompt=data.system_prompt)
    dataset = load_dataset(data, seed=42)
    encode(dataset, facts, data)
    first = min((*dataset.train, *dataset.eval), key=lambda sample: sample.line)
    masked = mask_chat(first.messages, facts, assistant_only=True)
    return [masked.text[start:end] for start, end in masked.spans]


@pytest.mark.parametrize("case", LEARNED)
def test_case_is_learned_as_it_should_be(case: str) -> None:
    assert read(case) == LEARNED[case]


@pytest.mark.parametrize("case", REFUSED)
def test_case_is_refused_with_its_cause_and_the_way_out(case: str) -> None:
    with pytest.raises(TrainerError) as caught:
        read(case)

    problem, remedy = REFUSED[case]
    assert problem in caught.value.message
    assert remedy in caught.value.resolution


def test_system_turn_without_a_place_is_learned_from_by_the_switch() -> None:
    assert read("29-system-in-the-last-user-turn", system_prompt="first_user_turn") == ["1 cents.<|im_end|>"]
