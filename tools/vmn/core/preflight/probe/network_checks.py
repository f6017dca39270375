"""Checks of names, connections, and interfaces between the pods of a probe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vmn.core.preflight.probe.expectations import Expectations
from vmn.core.preflight.probe.problem import Answer, ProbeProblem
from vmn.core.preflight.result import CheckStatus

LOOPBACK = "lo"
OPEN = (
    "Allow all TCP traffic between the pods of a group. networkPolicy.enabled adds the rule; another policy, a "
    "firewall between the nodes, or the pod network may block it."
)
HOST_PORT = "Free that port on the node, or set engine.masterPort to another one."


def one_node(expected: Expectations) -> str | None:
    """Return why the pods need not connect, None when they must."""
    return "the group has one node" if expected.nodes == 1 else None


def dns(answer: Answer, expected: Expectations) -> Iterator[ProbeProblem]:
    """Check that the leader's name in the headless Service resolves."""
    if not answer["address"]:
        text = f"the name of pod 0, {answer['name']}, did not resolve in {answer['seconds']:.0f} s: {answer['error']}"
        fix = "Check that pod 0 has an address, and that DNS works: kubectl -n kube-system get pods -l k8s-app=kube-dns"
        yield ProbeProblem(text, fix)


def dns_summary(answers: Sequence[Answer], expected: Expectations) -> str:
    """Return the longest time that it took."""
    longest = max(item["seconds"] for item in answers)
    return f"the name of pod 0 in the headless Service resolves in every pod, within {longest:.1f} s"


def port(answer: Answer, expected: Expectations) -> Iterator[ProbeProblem]:
    """Check that every pod reaches pod 0 on the rendezvous port, and that pod 0 reaches every pod on any port."""
    if "listen" in answer:
        if answer["error"]:
            yield ProbeProblem(f"can't listen on {answer['listen']}: {answer['error']}", HOST_PORT)
        elif absent := sorted(set(range(1, expected.nodes)) - set(answer["heard"])):
            which = "pod" if len(absent) == 1 else "pods"
            text = f"{which} {', '.join(map(str, absent))} did not connect to port {expected.port}"
            yield ProbeProblem(text, OPEN)
        return
    if answer["error"]:
        yield ProbeProblem(f"can't connect to pod 0 at {answer['to']}: {answer['error']}", OPEN)
    elif answer["back"]:
        text = f"connects to pod 0, which can't connect back to {answer['from']}: {answer['back']}"
        yield ProbeProblem(text, OPEN)


def port_summary(answers: Sequence[Answer], expected: Expectations) -> str:
    """Return which pods reach each other."""
    return f"all pods reach pod 0 on port {expected.port} (engine.masterPort), and pod 0 reaches them on a free port"


def interface(answer: Answer, expected: Expectations) -> Iterator[ProbeProblem]:
    """Check that the interface for Gloo and NCCL exists, and leads to the leader."""
    wanted, names = expected.interface, ", ".join(answer["interfaces"])
    own = answer["interface"]
    if answer["error"]:
        yield ProbeProblem(f"no route to the leader: {answer['error']}; interfaces: {names}", OPEN)
    elif wanted and wanted not in answer["interfaces"]:
        fix = f"Set fabric.interface to {own or 'one of them'}; Gloo would fail with `Unable to find interface`."
        yield ProbeProblem(f"interface {wanted} does not exist; interfaces: {names}", fix)
    elif wanted == LOOPBACK:
        yield ProbeProblem("fabric.interface is lo, which leads to no other node", f"Set fabric.interface to {own}.")
    elif wanted and own and own != wanted:
        fix = f"Set fabric.interface to {own}, unless {wanted} is a separate network that connects all nodes."
        text = f"the route to the leader uses {own}, but fabric.interface is {wanted}"
        yield ProbeProblem(text, fix, CheckStatus.WARN)
    elif not wanted and own == LOOPBACK:
        fix = f"Set fabric.interface to the interface of the nodes' network, one of {names}."
        yield ProbeProblem("the route to the leader uses lo", fix)


def interface_summary(answers: Sequence[Answer], expected: Expectations) -> str:
    """Return the interfaces that lead to the leader."""
    own = ", ".join(dict.fromkeys(str(item["interface"]) for item in answers))
    configured = "as fabric.interface says" if expected.interface else "and fabric.interface is unset"
    return f"the route to the leader uses {own}, {configured}"
