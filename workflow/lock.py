"""The exact versions of everything that the requirements bring in, by a fresh resolution: requirements.lock.

python workflow/lock.py [requirements.txt requirements.lock]      (or: make lock)

Nothing is installed. The lock is for Linux on x86-64 with the Python that runs this; `pip install -r requirements.lock`
then installs what was tested, years later too, as long as the index keeps the files.
"""

import json
import platform
import subprocess
import sys
from pathlib import Path

from thaw.base.files import write_text

HEAD = """# Everything that {source} brings in, in the versions that pip chose together.
# Made by `make lock` with Python {python} on {machine}; do not edit.
# pip install -r requirements.txt -c {target}
"""


def resolve(source: str) -> dict[str, str]:
    """Return every package that a requirements file needs, by name: its version, as pip chooses it."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]
    done = subprocess.run([*command, "-r", source], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"pip cannot resolve {source}: {done.stderr.strip().splitlines()[-1]}")
    found = [item["metadata"] for item in json.loads(done.stdout)["install"]]
    # A local version such as 2.14.1+cu130 names a build, which another index may not have.
    return {item["name"]: item["version"].partition("+")[0] for item in found}


def main() -> None:
    """Write the lock."""
    source, target = sys.argv[1:] or ("requirements-dev.txt", "requirements.lock")
    lines = [f"{name}=={version}" for name, version in sorted(resolve(source).items(), key=lambda one: one[0].lower())]
    machine = f"{platform.system()} {platform.machine()}"
    head = HEAD.format(source=source, target=Path(target).name, python=platform.python_version(), machine=machine)
    write_text(target, head + "\n".join(lines) + "\n")
    print(f"{len(lines)} packages in {target}")


if __name__ == "__main__":
    main()
