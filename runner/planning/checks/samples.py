"""The samples: can they be read, does the chat template fit them and the tokenizer, is there something to learn?"""

from __future__ import annotations

import re

from runner.errors import counted
from runner.planning.checks.base_model import TEMPLATE
from runner.planning.checks.data_files import DataFiles, fetch_data
from runner.planning.checks.line import Check, failed, from_error, passed, skipped, warned
from runner.run.run_file import RunFile
from runner.world import World
from trainer.base_model.tokenization import BaseModelFacts
from trainer.config.paths import hub_name
from trainer.data.chat import Message, render
from trainer.data.collected import Progress, no_progress
from trainer.data.samples import Dataset, EncodedDataset, encode, load_dataset
from trainer.errors import BaseModelError, TrainerError

DATASET, TOKENS, LENGTHS = "dataset", "tokens to learn", "sample length"
SPECIAL_TOKEN = re.compile(
    r"<\|[^\s<>|]{1,40}\|?>|<[^\s<>|]{1,40}\|>|<｜[^\s<>｜]{1,40}｜>|</?(?:start|end)_of_[a-z]+>|</?(?:s|bos|eos)>"
)
"""What delimits turns in chat templates: ChatML's, Llama 3's and Phi's ``<|…|>``, Gemma's ``<start_of_turn>`` and
``<turn|>``, DeepSeek's ``<｜…｜>``, and ``<s>``. Source: the templates of those models on the Hub."""


def check_samples(
    run_file: RunFile, world: World, progress: Progress = no_progress
) -> tuple[DataFiles | None, Dataset | None, Check]:
    """Fetch and read the data files and return them, and the samples, or ``None``, with the line about them.

    Raises:
        ExtraError: If what reads such files cannot be installed.
    """
    try:
        files = fetch_data(run_file.data, world, progress)
    except TrainerError as err:
        return None, None, from_error(DATASET, err)
    dataset, line = check_dataset(run_file.model_copy(update={"data": files.here}), progress)
    if dataset is None or not files.sets:
        return files, dataset, line
    line = passed(DATASET, f"{line.value}; {', '.join(one.in_words() for one in files.sets)}")
    renamed = next((one for one in files.sets if one.given_name is not None), None)
    if renamed is None:
        return files, dataset, line
    name = hub_name(renamed.source.path)
    value = f"{line.value}; {renamed.given_name} is called {name} by now"
    return files, dataset, warned(DATASET, value, f"set data.train_path or data.eval_path to {name}")


def check_dataset(run_file: RunFile, progress: Progress = no_progress) -> tuple[Dataset | None, Check]:
    """Read the data files and return the samples, or ``None``, with the line about them."""
    try:
        dataset = load_dataset(run_file.data, run_file.run.seed, progress)
    except TrainerError as err:
        return None, from_error(DATASET, err)
    words = f"{counted(len(dataset.train), 'sample')} to train on, {len(dataset.eval):,} to evaluate on"
    return dataset, passed(DATASET, f"{words} ({dataset.format})")


def check_template(facts: BaseModelFacts, dataset: Dataset | None) -> Check:
    """Render turns with the roles of a sample and check that the template's special tokens are in this tokenizer.

    A special token that the tokenizer lacks is split: the model has never seen it, and generation does not stop at it.
    That is how a template of another model shows. Those that only open a turn may be plain text, as in Zephyr's.
    """
    roles = ["user", "assistant"] if dataset is None else [message.role for message in dataset.train[0].messages]
    if not set(roles) <= {"system", "user", "assistant"}:
        roles = ["user", "assistant"]  # a template of tools may ask for calls that belong together
    # Words of our own: real samples may contain special tokens, or parts of one.
    messages = [Message(role, f"This is turn {number}.") for number, role in enumerate(roles, start=1)]
    try:
        text = render(messages, facts, add_generation_prompt=False)
    except BaseModelError as err:
        return from_error(TEMPLATE, err)
    foreign = [token for token in dict.fromkeys(SPECIAL_TOKEN.findall(text)) if not _is_token(token, facts)]
    source = facts.source
    if not foreign:
        return passed(TEMPLATE, "its special tokens are in the base model's tokenizer")
    words = f"{', '.join(foreign)} {'is not a token' if len(foreign) == 1 else 'are not tokens'} of {source}"
    remedy = "take the base model's own template (leave data.chat_template_path out), or the template's own base model"
    if _ending(text, messages[-1].content) in foreign:
        return failed(TEMPLATE, f"a template of another model: {words}", remedy)
    return warned(TEMPLATE, f"{words}: they are read as plain text", remedy)


def _ending(text: str, answer: str) -> str | None:
    """Return the first special token after the last answer."""
    _, found, rest = text.rpartition(answer)
    token = SPECIAL_TOKEN.search(rest) if found else None
    return None if token is None else token.group()


def _is_token(word: str, facts: BaseModelFacts) -> bool:
    return len(facts.tokenizer.encode(word, add_special_tokens=False).ids) == 1


def check_tokens(
    run_file: RunFile,
    dataset: Dataset | None,
    facts: BaseModelFacts | None,
    progress: Progress = no_progress,
) -> tuple[EncodedDataset | None, list[Check]]:
    """Turn the samples into tokens and return them, or ``None``, with the lines about them."""
    if dataset is None or facts is None:
        missing = "the samples" if dataset is None else "the base model"
        return None, [skipped(name, f"needs {missing}") for name in (TOKENS, LENGTHS)]
    try:
        encoded = encode(dataset, facts, run_file.data, progress)
    except TrainerError as err:
        return None, [from_error(TOKENS, err), skipped(LENGTHS, "needs samples that can be encoded")]
    return encoded, [_to_learn(encoded), _lengths(encoded, facts)]


def _to_learn(encoded: EncodedDataset) -> Check:
    summary = encoded.summary
    share = f"{100 * summary.train.supervised_share:.1f} %"
    value = f"{summary.train.supervised_tokens:,} of {summary.train.tokens:,} tokens ({share})"
    # What is cut has a line of its own.
    remarks = [words for words in summary.warnings if f"cut at max_length {summary.max_length}" not in words]
    if remarks:
        return warned(TOKENS, f"{value}; {'; '.join(remarks)}", "see these samples with `make data-check`")
    return passed(TOKENS, value)


def _lengths(encoded: EncodedDataset, facts: BaseModelFacts) -> Check:
    """Report what is cut, however much that is: a warning, as there is something left to learn, and it may be meant.

    Trainers of this field cut as well, and say nothing (TRL: ``SFTConfig.max_length``; LLaMA-Factory: ``cutoff_len``).
    Where a cut takes the whole answer, ``TOKENS`` fails.
    """
    summary = encoded.summary
    tokens, where = summary.train.longest, f"training line {summary.longest_lines[0]}"
    if summary.eval.longest >= tokens:
        tokens, where = summary.eval.longest, f"eval line {summary.longest_lines[1]}"
    cut = summary.train.cut_samples + summary.eval.cut_samples
    if not cut:
        return passed(LENGTHS, f"the longest has {tokens:,} tokens, all fit into {summary.max_length:,}")
    lost = summary.train.cut_tokens + summary.eval.cut_tokens
    value = f"{counted(cut, 'sample is', 'samples are')} cut at {summary.max_length:,} ({lost:,} tokens lost)"
    longer = f"set data.max_length to {tokens}, " if tokens <= facts.max_position_embeddings else ""
    return warned(
        LENGTHS,
        f"{value}; the longest, {where}, has {tokens:,}",
        f"{longer}split the long samples, or take them out",
    )
