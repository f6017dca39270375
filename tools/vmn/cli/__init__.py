"""The command line: parse, call, print. Commands import what they need when they run, so that help is instant."""

from __future__ import annotations

import click

from vmn import __version__
from vmn.cli.bench import bench
from vmn.cli.cache import cache
from vmn.cli.doctor import doctor
from vmn.cli.generate import generate
from vmn.cli.images import images
from vmn.cli.install_test import install_test
from vmn.cli.plan import plan
from vmn.cli.preflight import preflight
from vmn.cli.tune import tune
from vmn.cli.validate import validate


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "VMN", "max_content_width": 100}
)
@click.version_option(__version__, prog_name="vmn")
def main() -> None:
    """Plan, configure, check, and troubleshoot a large model served on one or more GPU nodes.

    The exit status is 0 on success, 1 if the command finds a problem, 2 on a usage error, and 3 if the command lacks
    something that it needs, such as a program or access to the cluster.

    You can also set options with environment variables. For example, VMN_INSTALL_TEST_WAIT sets the --wait option of
    `vmn install-test`, and VMN_CHART sets --chart for all commands that have this option.
    """


main.add_command(plan)
main.add_command(generate)
main.add_command(validate)
main.add_command(images)
main.add_command(preflight)
main.add_command(doctor)
main.add_command(bench)
main.add_command(tune)
main.add_command(cache)
main.add_command(install_test)
