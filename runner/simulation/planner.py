"""Who plans in a simulated life: the cloud is asked, the machines are chosen as ever, and nothing else is looked at.

Data, base model and forecasts are the same in every life, and what they are is tested elsewhere.
"""

from __future__ import annotations

from pathlib import Path

from runner.adapters.stop import Stop
from runner.clouds.registry import endpoint_of
from runner.planning.choose import choose
from runner.planning.ends import Means, Used
from runner.planning.estimate.finished_run import is_emulated
from runner.planning.market import MarketCall
from runner.planning.useless import useless_machines
from runner.run.models import View
from runner.run.planned import Plan
from runner.run.run_dir import list_runs
from runner.run.run_file import RunFile
from runner.store.run_store import check_store
from runner.world import World

DISK_GIB = 20.0
PACKAGE, MODEL = "pypi:", "model.gguf"
"""How a base model is named that a package has, and its file in the user's home."""
RUN_FILE = """\
run: {name: sim}
data: {train_path: train.jsonl, eval_path: eval.jsonl}
model: {base_model: simulated/base, revision: "0123456789012345678901234567890123456789"}
monitoring: {tensorboard: false}
"""
SAMPLES = {
    "train.jsonl": '{"prompt": "Why?", "completion": "Because."}\n',
    "eval.jsonl": '{"prompt": "When?", "completion": "Then."}\n',
    MODEL: "GGUF",
}


def check(
    run_file: RunFile,
    runs_dir: Path,
    view: View,
    stop: Stop,
    world: World,
    *,
    is_dry: bool = False,
    known_hosts: Path | None = None,
    used: Used | None = None,
) -> Plan:
    """Return the plan of a run; see ``steps.plan.check``."""
    del view, known_hosts
    packaged = run_file.model.base_model.startswith(PACKAGE)
    compute = run_file.compute
    call = MarketCall(compute.env, world, is_dry=is_dry, trust=compute.trust, regions=compute.regions)
    found = call.get()
    stop.check()
    means = Means(run_file.budget, used or Used())
    emulated = is_emulated(endpoint_of(compute.env, world.environ))
    useless = useless_machines(list_runs(runs_dir, world), compute.env, world.now(), emulated=emulated)
    check_store(world, run_file)
    choice = choose(run_file, found.offers, None, disk_needed_gib=DISK_GIB, means=means, useless=useless)
    return Plan(
        environment=compute.env,
        base_model="simulated",
        model_files=str(runs_dir.parent / MODEL) if packaged else None,
        model_bytes=0,
        train_samples=2,
        eval_samples=1,
        data={},
        disk_needed_gib=DISK_GIB,
        terraform="terraform",
        machines=choice.machines,
        most_usd=max(one.most_usd or 0.0 for one in choice.machines),
    )
