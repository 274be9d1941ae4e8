"""Install a pure Python wheel into the environment that runs this, unless these very bytes are installed.

The environment has no pip, and uv may be anywhere; a pure wheel is a zip file whose place is site-packages.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import sysconfig
import zipfile
from pathlib import Path

STAMP = "installed.sha256"


def main() -> int:
    """Install the wheel named on the command line; print ``installed`` or ``unchanged``."""
    wheel = Path(sys.argv[1])
    site = Path(sysconfig.get_paths()["purelib"])
    stamp = wheel.parent / STAMP
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        print("unchanged")
        return 0
    stamp.unlink(missing_ok=True)  # from here on the installation is unfinished
    with zipfile.ZipFile(wheel) as archive:
        remove_older(site, wheel.name.split("-")[0], {name.split("/")[0] for name in archive.namelist()})
        archive.extractall(site)
    stamp.write_text(digest)
    print("installed")
    return 0


def remove_older(site: Path, name: str, folders: set[str]) -> None:
    """Remove what an older wheel of the same name left, so that a deleted module is really gone."""
    for old in (*site.glob(f"{name}-*.dist-info"), *(site / folder for folder in folders)):
        if old.exists():
            shutil.rmtree(old)


if __name__ == "__main__":
    sys.exit(main())
