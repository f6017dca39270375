"""Becomes ``vllm preload`` with the flags of ``vllm serve``, but without those of the server.

What remains decides which weights a rank has, and in which form. The loader compares most of it, and refuses daemons of
another kind.
"""

from __future__ import annotations

import json
import os
import sys

SERVER_FLAGS = (
    "allow-credentials",
    "allowed-headers",
    "allowed-methods",
    "allowed-origins",
    "anthropic-disabled-thinking-effort",
    "api-key",
    "api-server-count",
    "chat-template",
    "chat-template-content-format",
    "cohere-format",
    "cohere-is-reasoning-model",
    "config",
    "data-parallel-supervisor-port",
    "default-chat-template-kwargs",
    "disable-access-log-for-endpoints",
    "disable-fastapi-docs",
    "disable-uvicorn-access-log",
    "dp-supervisor-probe-failure-threshold",
    "dp-supervisor-probe-interval-s",
    "dp-supervisor-probe-timeout-s",
    "enable-auto-tool-choice",
    "enable-flash-late-interaction",
    "enable-force-include-usage",
    "enable-log-deltas",
    "enable-log-outputs",
    "enable-log-requests",
    "enable-offline-docs",
    "enable-per-request-metrics",
    "enable-prompt-tokens-details",
    "enable-request-id-headers",
    "enable-scale-out",
    "enable-server-load-tracking",
    "enable-ssl-refresh",
    "enable-tokenizer-info-endpoint",
    "exclude-tools-when-tool-choice-none",
    "fingerprint-mode",
    "fingerprint-value",
    "grpc",
    "grpc-port",
    "h11-max-header-count",
    "h11-max-incomplete-event-size",
    "headless",
    "host",
    "log-error-stack",
    "lora-modules",
    "max-log-len",
    "middleware",
    "port",
    "reasoning-effort-map",
    "response-role",
    "return-tokens-as-token-ids",
    "root-path",
    "sse-keep-alive-interval",
    "ssl-ca-certs",
    "ssl-cert-reqs",
    "ssl-certfile",
    "ssl-ciphers",
    "ssl-keyfile",
    "tokens-only",
    "tool-call-parser",
    "tool-parser-plugin",
    "tool-server",
    "tool-strict-level",
    "trust-request-chat-template",
    "trust-request-mm-kwargs",
    "uds",
    "uvicorn-log-level",
)
"""Flags of ``vllm serve`` that ``vllm preload`` does not know, in vLLM 0.32 and 0.33. In 0.33, each flag that begins
with enable- also exists with disable-, and the other way round; both forms of these go."""


def preload_words(serve: list[str], own: list[str]) -> list[str]:
    """Return the command line of the daemons.

    Args:
        serve: arguments of ``vllm serve``: the model, then flags, each with all of its values after it.
        own: flags of the daemons.
    """
    model, *flags = serve
    words, keeps = ["vllm", "preload", "--model", model], True
    for word in flags:
        if word.startswith("--"):
            keeps = not _is_of_the_server(word.removeprefix("--").partition(".")[0].removeprefix("no-"))
        if keeps:
            words.append(word)
    return [*words, *own]


def _is_of_the_server(name: str) -> bool:
    """Return whether a flag, which vLLM accepts in a shorter form too, is one of the server."""
    start, dash, rest = name.partition("-")
    other = {"enable": "disable", "disable": "enable"}.get(start, start) + dash + rest
    return any(flag.startswith((name, other)) for flag in SERVER_FLAGS)


def main() -> None:
    """Become the daemons."""
    words = preload_words(sys.argv[1:], json.loads(os.environ["MULTINODE_DAEMON_FLAGS"]))
    print("vllm-multinode: exec", *words, file=sys.stderr, flush=True)
    os.execvp(words[0], words)


if __name__ == "__main__":
    main()
