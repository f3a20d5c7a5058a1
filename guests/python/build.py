"""Makes a component of a plugin: `python3 sdk/build.py plugin.py -o NAME.wasm`.

Runs under ordinary Python. It imports the plugin to see which methods its class has, writes a world with exactly those
exports, and calls `componentize-py` (found on PATH, or named by COMPONENTIZE_PY).
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SDK = Path(__file__).resolve().parent
VERSION = "0.2.0"

_MAIN = """from edgeplug.exports import classes, plugin_class
import {module}

globals().update(classes(plugin_class({module})))
"""

_WORLD = """package local:project;

world project {{
    include edgeplug:plugin/imports@{version};
    include edgeplug:plugin/hardware@{version};
{exports}}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="build.py", description="Makes a component of a plugin.")
    parser.add_argument("plugin", type=Path, help="the file that defines the plugin's class")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the component to write")
    arguments = parser.parse_args()
    plugin: Path = arguments.plugin.resolve()
    if not plugin.is_file():
        sys.exit(f"{arguments.plugin} is not there")
    componentize = os.environ.get("COMPONENTIZE_PY", "componentize-py")
    if shutil.which(componentize) is None:
        sys.exit(f"{componentize} is missing; install it, then run again: pip install componentize-py==0.25.1")
    exported = _interfaces(plugin)
    with tempfile.TemporaryDirectory() as scratch:
        _lay_out(Path(scratch), plugin.stem, exported)
        made = Path(scratch, "component.wasm")
        command = [componentize, "-d", f"{scratch}/wit", "-w", "project", "componentize", "edgeplug_main"]
        # Everything beside the plugin may be imported by it.
        paths = [argument for path in (scratch + "/app", plugin.parent, SDK) for argument in ("-p", str(path))]
        done = subprocess.run([*command, *paths, "-o", str(made)], check=False)
        if done.returncode != 0:
            sys.exit(f"componentize-py ended with status {done.returncode}")
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        aside = arguments.output.with_name(f".{arguments.output.name}.part")
        shutil.copyfile(made, aside)
        aside.replace(arguments.output)
    print(f"{arguments.output}: exports {', '.join(exported)}")


def _interfaces(plugin: Path) -> list[str]:
    sys.path[:0] = [str(SDK), str(SDK / "bindings"), str(plugin.parent)]
    # No bytecode beside the sources: all of it would go into the component.
    sys.dont_write_bytecode = True
    from edgeplug.exports import interfaces, plugin_class

    found = interfaces(plugin_class(importlib.import_module(plugin.stem)))
    if not found:
        sys.exit(f"the class in {plugin.name} overrides no method of edgeplug.Plugin, so there is nothing to export")
    return found


def _lay_out(scratch: Path, module: str, exported: list[str]) -> None:
    shutil.copytree(SDK / "wit", scratch / "wit" / "deps" / "edgeplug")
    exports = "".join(f"    export edgeplug:plugin/{interface}@{VERSION};\n" for interface in exported)
    (scratch / "wit" / "world.wit").write_text(_WORLD.format(version=VERSION, exports=exports))
    (scratch / "app").mkdir()
    (scratch / "app" / "edgeplug_main.py").write_text(_MAIN.format(module=module))


if __name__ == "__main__":
    main()
