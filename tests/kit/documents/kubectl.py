"""Rules for kubectl: it must name objects, containers, files, ports and keys that the release has."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from kit.documents.release import (
    LWS_NAMESPACE,
    crd,
    job_labels,
    lws_objects,
    names,
    pod_labels,
    pods,
    release,
    secret_keys,
    service_ports,
)
from kit.schemas import LWS_CRD
from localcluster.programs import version_of

NOT_THE_CHARTS = frozenset({"nodes", "namespace", "events", "workloads"})
"""Kinds of objects of which documents may name any."""
OF_THE_SYSTEM = frozenset({"/dev/infiniband", "/sys/class/net", "/proc/net/route"})
"""Paths in a container that no manifest shows."""
SINGULAR = {"svc": "service", "pods": "pod", "jobs": "job", "networkpolicies": "networkpolicy", "secrets": "secret"}
_SHORT = frozenset({"-n", "-l", "-c", "-o", "-f", "-L"})
_LONG = frozenset({"namespace", "selector", "container", "output", "filename", "values", "set", "timeout", "tail"})
_WITH_VALUE = _SHORT | {f"--{name}" for name in _LONG} | {"--sort-by", "--field-selector", "--from-literal"}


class Options(dict[str, list[str]]):
    """A command's options with their values; the other words are in ``words``."""

    def __init__(self, words: Sequence[str], without_value: Sequence[str] = ()) -> None:
        """Take a command's words apart; ``without_value`` are flags that elsewhere have a value."""
        super().__init__()
        self.words: list[str] = []
        rest = iter(words)
        for word in rest:
            if word == "--":
                self.words += rest
            elif word.startswith("-"):
                name, given, value = word.partition("=")
                wants = name in _WITH_VALUE and name not in without_value
                self.setdefault(name, []).append(value if given else next(rest) if wants else "")
            else:
                self.words.append(word)

    def first(self, *options: str) -> str:
        """Return the first value of an option under any of its names, or nothing."""
        return next((values[0] for name, values in self.items() if name in options), "")


def check_kubectl(words: Sequence[str]) -> None:
    """Check a call of kubectl."""
    verb, *rest = words
    options = Options(rest, ["-f"] if verb == "logs" else [])
    namespace = options.first("-n", "--namespace")
    if namespace:
        assert namespace == LWS_NAMESPACE, "the release of the documents is in the current namespace"
        assert {word for word in options.words if "/" in word} <= lws_objects(), f"LWS has {sorted(lws_objects())}"
        return
    label = options.first("-l", "--selector").partition("=")
    if label[0] and pod_labels().get(label[0]) != label[2]:
        assert job_labels().get(label[0]) == label[2], f"pods have {pod_labels()}, and a download's {job_labels()}"
    assert verb in _RULES, f"no rule covers kubectl {verb}"
    _RULES[verb](options)


def _named(options: Options) -> None:
    kind, *wanted = options.words
    if kind in NOT_THE_CHARTS:
        return
    kind = SINGULAR.get(kind, kind)
    if kind == "crd":
        wanted = wanted[:1]  # what follows is an annotation
    assert set(wanted) <= names(kind), f"{kind} {wanted}: there are {sorted(names(kind))}"
    key = re.search(r"\.data\.([\w-]+)", options.first("-o"))
    assert not key or (wanted[0], key[1]) in secret_keys(), f"Secrets are {secret_keys()}"


def _of_a_pod(options: Options) -> None:
    if not options.words:
        assert options.first("-l", "--selector"), "neither a pod nor a selector"
        return
    pod, *inside = options.words
    assert pod in pods(), f"pods are {sorted(pods())}"
    containers = {one["name"]: one for one in pods()[pod]["spec"]["containers"]}
    wanted = options.first("-c", "--container")
    assert wanted in containers, f"{pod} has {sorted(containers)}"
    mounts = {one["mountPath"] for one in containers[wanted]["volumeMounts"]}
    scripts = {f"/etc/vllm-multinode/{file}" for file in release().one("ConfigMap", "vllm-scripts")["data"]}
    for path in re.findall(r"(?<![\w.])/[\w./-]+", " ".join(inside)):
        assert path in mounts | scripts | OF_THE_SYSTEM, f"{path} is not in the pod: {sorted(mounts | scripts)}"


def _port_forward(options: Options) -> None:
    target, ports = options.words
    kind, _, name = target.partition("/")
    assert SINGULAR.get(kind, kind) == "service"
    assert int(ports.split(":")[-1]) in service_ports(name), f"{name} has {service_ports(name)}"


def _create(options: Options) -> None:
    if options.first("-f", "--filename") == "-":
        return  # what comes in is the output of another command, which is checked
    assert options.words[:2] == ["secret", "generic"], "no rule covers this kind"
    key = options.first("--from-literal").partition("=")[0]
    assert (options.words[2], key) in secret_keys(), f"the chart reads {secret_keys()}"


def _apply(options: Options) -> None:
    given, version = options.first("-f", "--filename"), version_of("lws")
    if given == "-":
        return  # what comes in is the output of another command, which is checked
    whole = f"https://github.com/kubernetes-sigs/lws/releases/download/{version}/manifests.yaml"
    definition = f"https://raw.githubusercontent.com/kubernetes-sigs/lws/{version}/config/crd/bases/{LWS_CRD}"
    assert given in (whole, definition), f"LWS is tested in the version of {whole} and {definition}"
    assert "--server-side" in options, "LWS's definitions are too large for a client-side apply"


def _wait(options: Options) -> None:
    kind, _, name = options.words[0].partition("/")
    assert name in names(kind), f"{kind} {name}: there are {sorted(names(kind))}"
    assert options.first("--for"), "it waits for nothing"


def _explain(options: Options) -> None:
    here = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for part in options.words[0].split(".")[1:]:
        assert part in here["properties"], f"{options.words[0]}: {part} is not there"
        here = here["properties"][part]


def _diff(options: Options) -> None:
    assert options.first("-f", "--filename") == "-", "no rule covers a file here"


_RULES: Mapping[str, Callable[[Options], None]] = {
    **dict.fromkeys(("get", "describe", "delete", "annotate", "label", "taint"), _named),
    **dict.fromkeys(("logs", "exec"), _of_a_pod),
    "port-forward": _port_forward,
    "create": _create,
    "apply": _apply,
    "explain": _explain,
    "wait": _wait,
    "diff": _diff,
}
