"""The local cluster's command line: ``python -m localcluster``."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from dataclasses import asdict
from pathlib import Path

import click

from localcluster import cluster, simulated
from localcluster.host import HostError, env_hint, say
from localcluster.kubectl import kubeconfig
from localcluster.node import FEWEST
from localcluster.programs import BESIDE_CLUSTER, bin_dir
from localcluster.programs import program as program_of


class _Commands(click.Group):
    """Commands whose failures are one message, not a stack of calls."""

    def invoke(self, ctx: click.Context) -> object:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            return super().invoke(ctx)
        except HostError as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            say("Interrupted. What is finished is kept: the same command goes on from there.")
            ctx.exit(130)


@click.group(cls=_Commands)
def main() -> None:
    """A real Kubernetes cluster on this Linux machine, without Docker and without a registry."""


@main.command()
@click.option(
    "--simulated-nodes",
    type=click.IntRange(0, 200),
    default=cluster.SIMULATED_NODES,
    show_default=True,
    help="Simulated nodes with eight H100 each.",
)
@click.option("--engine/--no-engine", default=True, show_default=True, help="Put vLLM's CPU engine on the real nodes.")
@click.option(
    "--real-nodes",
    type=click.IntRange(FEWEST, 9),
    default=FEWEST,
    show_default=True,
    help="Real nodes at least; a cluster that runs gets the missing ones.",
)
def up(simulated_nodes: int, engine: bool, real_nodes: int) -> None:
    """Bring the cluster up, or check that it is."""
    cluster.up(cluster.Options(simulated_nodes, engine, real_nodes))
    click.echo(f"The cluster is up. For kubectl and helm:  {env_hint()}", err=True)


@main.command()
@click.option("--kubeconfig", "config", type=click.Path(path_type=Path), help="Use this cluster, not the local one.")
@click.option("--values", help="Values file for the nodes of that cluster. Default: by what its nodes have.")
def demo(config: Path | None, values: str | None) -> None:
    """Install the chart with a tiny model, over two nodes, and ask it: from nothing to the first answer."""
    from localcluster import demo as way  # the others have no use for it

    if config and config.expanduser().resolve() != kubeconfig().resolve():
        way.demo_on(config, values)
    else:
        way.demo()


@main.command()
def down() -> None:
    """Remove the cluster and all of its traces but the caches."""
    cluster.down()


@main.command()
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def status(output: str) -> None:
    """Say how the cluster is; exit status 1 unless all of it is well."""
    now = cluster.status()
    click.echo(json.dumps(asdict(now), indent=2) if output == "json" else _text(now))
    sys.exit(0 if now.up else 1)


@main.command()
def env() -> None:
    """Print shell lines that put the programs on PATH and, when there is a cluster, set KUBECONFIG."""
    click.echo(f'export PATH={shlex.quote(str(bin_dir(BESIDE_CLUSTER)))}:"$PATH"')
    if kubeconfig().exists():
        click.echo(f"export KUBECONFIG={shlex.quote(str(kubeconfig()))}")


@main.command()
@click.argument("names", nargs=-1)
def programs(names: tuple[str, ...]) -> None:
    """Build the cluster's programs and print their directory, or the programs NAMES and print where each is."""
    for name in names:
        click.echo(program_of(name))
    if not names:
        click.echo(bin_dir())


@main.command("simulated-nodes")
@click.argument("count", type=click.IntRange(1, 200))
def simulated_nodes(count: int) -> None:
    """Print COUNT simulated nodes, for kubectl create on another cluster that has kwok."""
    click.echo(simulated.manifest_list(count))


@main.command("run", context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("name")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run_program(name: str, arguments: tuple[str, ...]) -> None:
    """Become the program NAME, which is built first where the cache has it not."""
    program = str(program_of(name))
    os.execv(program, [program, *arguments])


@main.command()
@click.argument("archive", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def load(archive: Path) -> None:
    """Load an image from a docker-archive tar, as docker save writes it, into the real nodes."""
    cluster.load_image(archive)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("node")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def on(node: str, command: tuple[str, ...]) -> None:
    """Run COMMAND on a real NODE, such as: on node-2 ip link set eth0 down."""
    sys.exit(cluster.on_node(node, list(command)))


@main.command()
@click.argument("node")
def lose(node: str) -> None:
    """Let a real NODE go as with its power: cable, daemons, containers. `up` brings it back."""
    cluster.lose(node)


def _text(now: cluster.Status) -> str:
    lines = ["up" if now.up else "down" if not any(now.programs.values()) else "not healthy"]
    for title, parts, words in (
        ("programs", now.programs, ("running", "ended")),
        ("nodes", now.nodes, ("ready", "not ready")),
        ("addons", now.addons, ("available", "not available")),
    ):
        lines += [f"{title}:", *(f"  {name}: {words[0] if good else words[1]}" for name, good in parts.items())]
    return "\n".join([*lines, *([now.problem] if now.problem else [])])


if __name__ == "__main__":
    main(prog_name="python -m localcluster")
