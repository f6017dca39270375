"""Command line: ``python -m gpu.twopods prepare | render | weights | run | doctor``."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from gpu.twopods.groupspec import GroupSpec
from gpu.twopods.machine import Machine
from gpu.twopods.plan import Scenario, read_plan
from gpu.twopods.results import Results
from gpu.twopods.runner import in_own_namespaces, is_inner, run_plan


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m gpu.twopods", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    _add_run(commands.add_parser("run", help="run groups on this host, by a plan"))
    _add_render(commands.add_parser("render", help="render a group (needs helm, and tools on PYTHONPATH)"))
    _add_prepare(commands.add_parser("prepare", help="render the usual groups, and write models without weights"))
    _add_weights(commands.add_parser("weights", help="write random weights for models (needs PyTorch)"))
    _add_doctor(commands.add_parser("doctor", help="say what vmn doctor says of a run's objects (needs tools)"))
    asked = parser.parse_args()
    found: int = asked.call(asked)
    return found


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("groups", nargs="+", type=Path, help="files that render wrote, or directories of them")
    parser.add_argument("--plan", type=Path, help="JSON: a list of scenarios; by default --step for each group")
    parser.add_argument("--step", action="append", default=[], help="a step for each group, such as 'start cold'")
    parser.add_argument("--only", help="scenarios of the plan, separated by commas")
    parser.add_argument("--out", type=Path, required=True, help="directory for the results")
    parser.add_argument("--seconds", type=float, default=570, help="for all of it (%(default)s)")
    parser.add_argument(
        "--work", type=Path, help="directory for caches, kept for the next run; a temporary one by default"
    )
    parser.add_argument("--models", type=Path, help="directory for the volume weights: models by name")
    parser.add_argument(
        "--volume", action="append", default=[], metavar="NAME=DIR", help="directory for another volume"
    )
    parser.add_argument(
        "--gpus", default="0,1", help="GPUs of each pod (%(default)s), such as 0+1,2+3 for two each; empty for none"
    )
    parser.add_argument(
        "--root", type=Path, default=Path("/"), help="an unpacked image, instead of the host's own files"
    )
    parser.add_argument(
        "--env", action="append", default=[], metavar="NAME[=VALUE]", help="of the image; this one's value"
    )
    parser.add_argument(
        "--keep", action="append", default=[], type=Path, help="directory of the host that pods see too"
    )
    parser.add_argument("--vllm", help="words that stand for `vllm`, such as 'python3 -m vllm.entrypoints.cli.main'")
    parser.add_argument("--program", action="append", default=[], type=Path, help="a program to put on the pods' PATH")
    parser.add_argument("--user", type=int, default=0, help="the image's user (%(default)s)")
    parser.add_argument("--as-root", action="store_true", help="run every pod as root, whatever it names")
    parser.set_defaults(call=_run)


def _run(asked: argparse.Namespace) -> int:
    """Run a plan in namespaces of its own."""
    if not is_inner():
        with tempfile.TemporaryDirectory(prefix="twopods-") as scratch:
            os.environ["TWOPODS_WORK"] = scratch
            return in_own_namespaces(asked.seconds)
    files = [file for path in asked.groups for file in (sorted(path.glob("*.json")) if path.is_dir() else [path])]
    groups = {spec.name: spec for spec in map(GroupSpec.read, files)}
    plan = read_plan(asked.plan) if asked.plan else _same_for_all(groups, asked.step)
    if asked.only:
        plan = [scenario for scenario in plan if scenario.name in asked.only.split(",")]
    work = (asked.work or Path(os.environ["TWOPODS_WORK"])).resolve()
    work.mkdir(parents=True, exist_ok=True)
    volumes = {name: Path(place).resolve() for name, place in (pair.split("=", 1) for pair in asked.volume)}
    if asked.models:
        volumes.setdefault("weights", asked.models.resolve())
    machine = Machine(
        work=work,
        root=asked.root.resolve(),
        env=dict(_variable(text) for text in asked.env),
        keep=[path.resolve() for path in asked.keep],
        volumes=volumes,
        vllm=asked.vllm,
        programs=asked.program,
        user=asked.user,
        as_root=asked.as_root,
        gpus=[one.replace("+", ",") for one in asked.gpus.split(",")] if asked.gpus else [],
    )
    return min(run_plan(plan, groups, machine, Results(asked.out.resolve()), asked.seconds), 1)


def _variable(text: str) -> tuple[str, str]:
    name, given, value = text.partition("=")
    return name, value if given else os.environ.get(name, "")


def _same_for_all(groups: dict[str, GroupSpec], steps: list[str]) -> list[Scenario]:
    return [Scenario.read({"group": name, "steps": steps or ["start cold", "test", "ask"]}) for name in groups]


def _add_render(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--values", action="append", type=Path, default=[], help="a values file of the chart")
    parser.add_argument("--chart", type=Path, help="another checkout's chart, or that checkout")
    parser.add_argument("--manifests", type=Path, help="a LeaderWorkerSet and its Service, instead of the chart")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="${NAME} in the manifests")
    parser.add_argument("-o", "--out", type=Path, required=True, help="file to write")
    parser.set_defaults(call=_render)


def _render(asked: argparse.Namespace) -> int:
    from gpu.twopods.render import render_chart, render_manifests, write

    if asked.manifests:
        settings = dict(pair.split("=", 1) for pair in asked.set)
        write(render_manifests(asked.manifests, settings), asked.out)
    else:
        write(render_chart(asked.values, asked.chart), asked.out)
    return 0


def _add_prepare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--old", type=Path, help="a checkout of an earlier chart, to compare with")
    parser.add_argument("--configs", type=Path, help="directory of further models, as NAME/config.json")
    parser.add_argument(
        "--values", action="append", type=Path, default=[], help="a values file for all groups of the chart"
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="directory for groups and models")
    parser.set_defaults(call=_prepare)


def _prepare(asked: argparse.Namespace) -> int:
    from gpu.twopods.standard import prepare

    for name in prepare(asked.out, asked.old, asked.configs, asked.values):
        print(name, flush=True)
    return 0


def _add_weights(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="+", type=Path, help="directories that prepare wrote, of Llama models")
    parser.add_argument("--workers", type=int, default=8, help="processes (%(default)s)")
    parser.set_defaults(call=_weights)


def _weights(asked: argparse.Namespace) -> int:
    from gpu.twopods.weights import write_weights

    for line in write_weights(asked.models, asked.workers):
        print(line, flush=True)
    return 0


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("objects", type=Path, help="objects.jsonl of a run")
    parser.add_argument("--keep", type=Path, help="directory for one JSON file each, as the doctor's tests read them")
    parser.set_defaults(call=_doctor)


def _doctor(asked: argparse.Namespace) -> int:
    from gpu.twopods.verdicts import verdicts

    for line in verdicts(asked.objects, asked.keep):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
