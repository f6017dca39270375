"""Single probes of a container, as a kubelet runs them."""

from __future__ import annotations

import http.client
import time

from gpu.twopods.container import Container
from gpu.twopods.network import Sandbox
from gpu.twopods.podspec import Probe

AGENT = "kube-probe/1.36"


def failure(container: Container, probe: Probe) -> str | None:
    """Run a probe once; return the kubelet's words for what is wrong, None if nothing is."""
    try:
        if probe.http:
            port, path = probe.http
            status = status_of(container.sandbox, port, path, probe.timeout)
            return None if 200 <= status < 400 else f"HTTP probe failed with statuscode: {status}"
        if probe.tcp:
            container.sandbox.connect(container.sandbox.address, probe.tcp, probe.timeout).close()
            return None
        status, output = container.execute(probe.command, probe.timeout)
        return None if status == 0 else output
    except (OSError, http.client.HTTPException) as error:  # a TimeoutError is an OSError
        return _complaint(container.sandbox.address, probe, error)


def status_of(sandbox: Sandbox, port: int, path: str, seconds: float) -> int:
    """Return the status of a path of a pod.

    Raises:
        OSError: the pod does not answer in time.
        http.client.HTTPException: it is not HTTP.
    """
    until = time.monotonic() + seconds
    with sandbox.connect(sandbox.address, port, seconds) as one:
        one.settimeout(max(until - time.monotonic(), 0.001))
        connection = http.client.HTTPConnection(sandbox.address, port)
        connection.sock = one
        connection.request("GET", path, headers={"User-Agent": AGENT, "Connection": "close"})
        return connection.getresponse().status


def _complaint(address: str, probe: Probe, error: Exception) -> str:
    """Return an error in the kubelet's words."""
    if probe.command:
        return f"command timed out: {' '.join(probe.command)!r} timed out after {probe.timeout:.0f}s"
    port = probe.http[0] if probe.http else probe.tcp
    said = str(error) or type(error).__name__
    if isinstance(error, ConnectionRefusedError):
        said = f"dial tcp {address}:{port}: connect: connection refused"
    elif isinstance(error, TimeoutError):
        said = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    return f'Get "http://{address}:{port}{probe.http[1]}": {said}' if probe.http else said
