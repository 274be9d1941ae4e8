"""What Terraform needs to work by hand: ``eval "$(python3 -m runner.bootstrap control --then -m infra.shell)"``.

Prints the lines for a shell, after it has written our provider's mirror and Terraform's settings to the cache.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from runner.errors import RunnerError
from runner.provider.mirror import cli_config, environment, given_mirror, write_mirror
from runner.world import RealWorld
from trainer.files import cache_folder


def main() -> int:
    """Print one ``export`` for each setting."""
    try:
        settings = terraform_settings(cache_folder() / "terraform" / "by-hand")
    except RunnerError as err:
        print(f"error: {err.message}\nhint:  {err.resolution}", file=sys.stderr)
        return err.exit_code
    print("\n".join(f"export {name}={shlex.quote(value)}" for name, value in settings.items()))
    return 0


def terraform_settings(folder: Path) -> dict[str, str]:
    """Return Terraform's settings as variables: our provider from a mirror, the others from theirs or the registry.

    Args:
        folder: Where to write the mirror and the settings file.

    Raises:
        UsageError: If ``DOUSE_PROVIDER_MIRROR`` names no folder.
    """
    world = RealWorld()
    given = given_mirror("infra", world.environ)
    config = folder.absolute() / "terraform.rc"
    text = cli_config(write_mirror(world, folder / "providers"), given)
    config.write_text(text, encoding="utf-8")
    return {**environment(world.environ), "TF_CLI_CONFIG_FILE": str(config), "CHECKPOINT_DISABLE": "1"}


if __name__ == "__main__":
    sys.exit(main())
