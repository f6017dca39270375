"""Judges names, connections and interfaces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vmn.core.preflight.probe.expectations import Expectations
from vmn.core.preflight.probe.problem import Facts, ProbeProblem
from vmn.core.preflight.result import CheckStatus

LOOPBACK = "lo"
OPEN = (
    "Allow all TCP between the pods of a group: networkPolicy.enabled adds the rule; a policy of others, a firewall "
    "between the nodes or the pod network may forbid it."
)
HOST_PORT = "Free that port of the node, or set engine.masterPort to another."


def alone(asked: Expectations) -> str | None:
    """Return why pods need not meet."""
    return "the group has one node" if asked.nodes == 1 else None


def dns(facts: Facts, asked: Expectations) -> Iterator[ProbeProblem]:
    """The leader's name in the headless Service resolves."""
    if not facts["address"]:
        text = f"the name of pod 0, {facts['name']}, did not resolve in {facts['seconds']:.0f} s: {facts['error']}"
        fix = "See that pod 0 has an address, and that DNS answers: kubectl -n kube-system get pods -l k8s-app=kube-dns"
        yield ProbeProblem(text, fix)


def dns_well(facts: Sequence[Facts], asked: Expectations) -> str:
    """Return the longest that it took."""
    longest = max(item["seconds"] for item in facts)
    return f"the name of pod 0 in the headless Service resolves in every pod, after {longest:.1f} s at most"


def port(facts: Facts, asked: Expectations) -> Iterator[ProbeProblem]:
    """Every pod reaches pod 0 at the port where ranks meet, and pod 0 reaches it at any port."""
    if "listen" in facts:
        if facts["error"]:
            yield ProbeProblem(f"can't listen on {facts['listen']}: {facts['error']}", HOST_PORT)
        elif absent := sorted(set(range(1, asked.nodes)) - set(facts["heard"])):
            yield ProbeProblem(f"pod(s) {', '.join(map(str, absent))} did not come to port {asked.port}", OPEN)
        return
    if facts["error"]:
        yield ProbeProblem(f"no connection to pod 0 at {facts['to']}: {facts['error']}", OPEN)
    elif facts["back"]:
        yield ProbeProblem(f"reaches pod 0, which gets no connection back to {facts['from']}: {facts['back']}", OPEN)


def port_well(facts: Sequence[Facts], asked: Expectations) -> str:
    """Return who reached whom."""
    return f"all pods reach pod 0 at port {asked.port} (engine.masterPort), and pod 0 reaches them at a free port"


def interface(facts: Facts, asked: Expectations) -> Iterator[ProbeProblem]:
    """The interface that Gloo and NCCL are told of is there, and is the way to the leader."""
    wanted, names = asked.interface, ", ".join(facts["interfaces"])
    own = facts["interface"]
    if facts["error"]:
        yield ProbeProblem(f"no route to the leader: {facts['error']}; interfaces: {names}", OPEN)
    elif wanted and wanted not in facts["interfaces"]:
        better = own or "one of them"
        fix = f"Set fabric.interface to {better}; Gloo would end with `Unable to find interface`."
        yield ProbeProblem(f"there is no interface {wanted}; there are {names}", fix)
    elif wanted == LOOPBACK:
        yield ProbeProblem("fabric.interface is lo, which leads nowhere", f"Set fabric.interface to {own}.")
    elif wanted and own and own != wanted:
        fix = f"Set fabric.interface to {own}, unless {wanted} is a network of its own that joins all nodes."
        yield ProbeProblem(f"the way to the leader is {own}, and fabric.interface is {wanted}", fix, CheckStatus.WARN)
    elif not wanted and own == LOOPBACK:
        fix = f"Set fabric.interface to the nodes' network: {names}."
        yield ProbeProblem("the way to the leader is lo", fix)


def interface_well(facts: Sequence[Facts], asked: Expectations) -> str:
    """Return the interfaces that were found."""
    own = ", ".join(dict.fromkeys(str(item["interface"]) for item in facts))
    return f"the way to the leader is {own}, {'as' if asked.interface else 'without'} fabric.interface"
