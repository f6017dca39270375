"""The reference guide's request and its answer."""

from __future__ import annotations

import json
import socket
from typing import Any

from openai import OpenAI

from kit.cluster import Object, background, run
from kit.paths import CHECKOUT
from kit.scripts import free_port

PRESET = CHECKOUT / "values" / "tiny-cpu.yaml"
REQUEST: dict[str, Any] = {"prompt": "San Francisco is a", "max_tokens": 7, "temperature": 0}
ANSWER = " top destination for foodies, with"
USAGE = (5, 7, 12)
"""Tokens of the prompt, of the answer, of both."""
START_LIMIT = 600
"""Seconds until a group serves: 20 to 60 on two idle cores, each process of vLLM takes up to 15 to import it."""
ANSWER_LIMIT = 60
"""Seconds for the answer: the first one after a start takes some on a slow machine."""


def ask(namespace: str) -> tuple[str, tuple[int, int, int]]:
    """Ask the Service with OpenAI's client, through the API server's proxy; return the text and the usage.

    Raises:
        openai.OpenAIError: the server does not answer.
    """
    with background("kubectl", "proxy", "--port=0", ready=r"127\.0\.0\.1:(\d+)") as started:
        path = f"api/v1/namespaces/{namespace}/services/vllm-leader:8080/proxy/v1"
        url = f"http://127.0.0.1:{started[1]}/{path}"
        with OpenAI(base_url=url, api_key="none", timeout=ANSWER_LIMIT, max_retries=0) as client:
            answer = client.completions.create(model=client.models.list().data[0].id, **REQUEST)
    assert answer.usage
    return answer.choices[0].text, (
        answer.usage.prompt_tokens,
        answer.usage.completion_tokens,
        answer.usage.total_tokens,
    )


def curl(namespace: str) -> Object:
    """Ask as the reference does: ``kubectl port-forward svc/vllm-leader 8080:8080`` and curl.

    Raises:
        ProgramFailed: the server does not answer.
    """
    command = ["kubectl", "--namespace", namespace, "port-forward", "svc/vllm-leader", f"{local_port()}:8080"]
    with background(*command, ready=r"127\.0\.0\.1:(\d+) -> 8080") as started:
        done = run(
            *("curl", "--silent", "--show-error", "--fail-with-body", "--max-time", str(ANSWER_LIMIT)),
            *("--header", "Content-Type: application/json", "--data", json.dumps({"model": "tiny", **REQUEST})),
            f"http://localhost:{started[1]}/v1/completions",
            limit=ANSWER_LIMIT + 10,
        )
    answer: Object = json.loads(done.stdout)
    return answer


def local_port() -> int:
    """Return the reference's port, 8080, when this machine has it free, else another."""
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.1", 8080))
        except OSError:
            return free_port()
    return 8080
