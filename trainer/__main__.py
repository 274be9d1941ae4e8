"""Command line of the trainer: ``python -m trainer train|data-check|accept|sync|supervise``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.errors import ConfigError, TrainerError
from trainer.files import read_json

if TYPE_CHECKING:
    from trainer.config.recipe import Recipe


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; expected failures are reported in two lines on stderr."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.command(arguments))
    except TrainerError as err:
        if err.details and err.details not in err.message and not err.lines:
            print(err.details, file=sys.stderr)
        shown = [f"error: {err.message}", *(f"       {line}" for line in err.lines), f"hint:  {err.resolution}"]
        print("\n".join(shown), file=sys.stderr, flush=True)
        return err.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m trainer", description="Train one QLoRA adapter on this machine.")
    commands = parser.add_subparsers(required=True, metavar="command")

    train = commands.add_parser("train", help="train, export and prove an adapter")
    _add_paths(train)
    train.add_argument("--resume", action="store_true", help="go on from the newest complete checkpoint")
    train.set_defaults(command=_train)

    check = commands.add_parser("data-check", help="check the data against the base model; trains nothing")
    check.add_argument("--config", type=Path, required=True, help="recipe, YAML or JSON")
    check.add_argument("--json", action="store_true", help="print the summary as JSON")
    check.set_defaults(command=_data_check)

    accept = commands.add_parser("accept", help="prove a finished adapter once more")
    accept.add_argument("--config", type=Path, required=True, help="recipe, YAML or JSON")
    accept.add_argument("--adapter", type=Path, required=True, help="adapter folder")
    accept.set_defaults(command=_accept)

    sync = commands.add_parser("sync", help="bring a folder to or from the store; a second time moves nothing")
    sync.add_argument("direction", choices=["push", "pull"])
    sync.add_argument("--folder", type=Path, required=True, help="folder on this machine")
    sync.add_argument("--url", required=True, help="s3://bucket/prefix, file:///path or rclone://remote/path")
    sync.add_argument("--endpoint-url", help="address of a store that speaks S3; without it Amazon's")
    sync.add_argument(
        "--environment-file", type=Path, help="JSON file of environment variables to set first, such as credentials"
    )
    sync.add_argument("--own-rights", help="what gives this machine rights that serve when those keys have ended")
    sync.add_argument("--ca-file", type=Path, help="certificates, in PEM, that the endpoint is judged by")
    sync.add_argument("--rclone", help="rclone's program, for rclone://; without it the one on PATH")
    sync.set_defaults(command=_sync)

    supervise = commands.add_parser("supervise", help="start, watch and stop a training run detached from a terminal")
    _add_supervise_verbs(supervise.add_subparsers(required=True, metavar="verb"))
    return parser


def _add_paths(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, help="recipe, YAML or JSON")
    parser.add_argument("--output", type=Path, required=True, help="folder for everything the run writes")


def _add_supervise_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for name, command, text in (
        ("start", _supervise_start, "start the trainer in a session of its own"),
        ("run", _supervise_run, "be the supervisor, in the foreground"),
    ):
        verb = verbs.add_parser(name, help=text)
        _add_paths(verb)
        verb.add_argument("--resume", action="store_true", help="go on from the newest complete checkpoint")
        verb.add_argument("--max-hours", type=float, help="stop with a checkpoint after so many hours")
        verb.add_argument("--store", type=Path, help="JSON file: the store that takes each checkpoint as it is made")
        verb.add_argument(
            "--metadata-url", help="address of a metadata service that says when the machine is reclaimed"
        )
        verb.set_defaults(command=command)
        if name == "start":
            verb.add_argument("--secrets", type=Path, help="JSON file of variables for the trainer; removed once read")
    outbox = verbs.add_parser("outbox", help="be the process that brings checkpoints into the store; ends with stdin")
    outbox.add_argument("--store", type=Path, required=True, help="JSON file that says which")
    outbox.set_defaults(command=_supervise_outbox)
    gpu_log = verbs.add_parser("gpu-log", help="be the process that writes how the GPUs are; ends with stdin")
    gpu_log.set_defaults(command=_supervise_gpu_log)
    notice = verbs.add_parser("spot-notice", help="be the process that hears of a reclaim; ends with stdin")
    notice.add_argument("--metadata-url", required=True, help="address of the metadata service")
    notice.set_defaults(command=_supervise_spot_notice)
    status = verbs.add_parser("status", help="print the state of the run as one JSON line")
    status.set_defaults(command=_supervise_status)
    stop = verbs.add_parser("stop", help="stop the run with a checkpoint")
    stop.add_argument("--timeout-s", type=float, default=120.0, help="seconds until the trainer is killed (120)")
    stop.add_argument("--now", action="store_true", help="kill it immediately, without a checkpoint")
    stop.set_defaults(command=_supervise_stop)
    for verb in (outbox, gpu_log, notice, status, stop):
        verb.add_argument("--output", type=Path, required=True, help="output folder of the run")


def _train(arguments: argparse.Namespace) -> int:
    recipe = _load_recipe_before_torch(arguments.config)
    from trainer.beat import show_stacks_on_signal
    from trainer.training.phases import train

    show_stacks_on_signal()

    return train(recipe, arguments.output.resolve(), resume=arguments.resume)


def _load_recipe_before_torch(config: Path) -> Recipe:
    """Return the recipe, with the environment set as it asks: what torch reads there, it reads when it is imported."""
    from trainer.config.recipe import load_recipe
    from trainer.gpu_environment import prepare_gpu_environment
    from trainer.quiet import silence_libraries
    from trainer.threads import yield_to_neighbours

    recipe = load_recipe(config)
    silence_libraries(telemetry=recipe.monitoring.telemetry)
    yield_to_neighbours()
    prepare_gpu_environment(deterministic=recipe.run.deterministic)
    return recipe


def _data_check(arguments: argparse.Namespace) -> int:
    from trainer.config.recipe import load_recipe
    from trainer.data.report import run_data_check

    return run_data_check(load_recipe(arguments.config), as_json=arguments.json)


def _accept(arguments: argparse.Namespace) -> int:
    recipe = _load_recipe_before_torch(arguments.config)
    from trainer.proof.acceptance import accept_adapter

    return accept_adapter(recipe, arguments.adapter.resolve())


def _sync(arguments: argparse.Namespace) -> int:
    from trainer.checkpoints.keys import keys_that_serve
    from trainer.checkpoints.pull import pull
    from trainer.checkpoints.push import push

    path, has_own = arguments.environment_file, arguments.own_rights is not None
    if path is not None and (path.exists() or not has_own):  # what was in memory is lost with a reboot
        brought = _read_environment(path)
        os.environ.update(keys_that_serve(brought, datetime.now(UTC)) if has_own else brought)
    folder = arguments.folder.resolve()
    how = {"endpoint_url": arguments.endpoint_url, "ca_file": arguments.ca_file, "rclone": arguments.rclone}
    done = push(folder, arguments.url, **how) if arguments.direction == "push" else pull(arguments.url, folder, **how)
    print(done.to_json(), flush=True)
    return 0


def _read_environment(path: Path) -> dict[str, str]:
    """Return the variables in a file; secrets come this way, because everybody can read an argument list."""
    values = read_json(path)
    if values is None or not all(isinstance(value, str) for value in values.values()):
        raise ConfigError(
            f"sync: {path} holds no variables", resolution='write a JSON object of strings, like {"NAME": "value"}'
        )
    return values


def _supervise_start(arguments: argparse.Namespace) -> int:
    from trainer.supervisor import supervise

    status = supervise.start(
        arguments.config,
        arguments.output.resolve(),
        resume=arguments.resume,
        max_hours=arguments.max_hours,
        secrets=arguments.secrets,
        store=arguments.store,
        metadata_url=arguments.metadata_url,
    )
    print(status.to_json(), flush=True)
    return 0


def _supervise_run(arguments: argparse.Namespace) -> int:
    from trainer.supervisor import supervise

    return supervise.run(
        arguments.config,
        arguments.output.resolve(),
        resume=arguments.resume,
        max_hours=arguments.max_hours,
        store=arguments.store,
        metadata_url=arguments.metadata_url,
    )


def _supervise_outbox(arguments: argparse.Namespace) -> int:
    from trainer.supervisor.beside import Parent
    from trainer.supervisor.outbox import keep_sending, read_order

    output = arguments.output.resolve()
    keep_sending(read_order(arguments.store), output, is_over=Parent(sys.stdin.buffer, output).is_over)
    return 0


def _supervise_gpu_log(arguments: argparse.Namespace) -> int:
    from trainer.supervisor.beside import Parent
    from trainer.supervisor.gpu_log import keep_logging

    output = arguments.output.resolve()
    keep_logging(output, is_over=Parent(sys.stdin.buffer, output).is_over)
    return 0


def _supervise_spot_notice(arguments: argparse.Namespace) -> int:
    from trainer.supervisor.beside import Parent
    from trainer.supervisor.spot_notice import keep_asking

    output = arguments.output.resolve()
    keep_asking(output, arguments.metadata_url, is_over=Parent(sys.stdin.buffer, output).is_over)
    return 0


def _supervise_status(arguments: argparse.Namespace) -> int:
    from trainer.supervisor.status import read_status

    print(read_status(arguments.output.resolve()).to_json(), flush=True)
    return 0


def _supervise_stop(arguments: argparse.Namespace) -> int:
    from trainer.supervisor import supervise

    status = supervise.stop(arguments.output.resolve(), timeout_s=arguments.timeout_s, now=arguments.now)
    print(status.to_json(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
