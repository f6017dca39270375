"""Questions with a measured truth, beside what ``vmn`` and other planners say; prints the table of docs/planner.md."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from unit.planning_data.table import Point, configuration, published, started

RESULTS = Path(__file__).with_name("results.json")


@dataclass(frozen=True)
class Answer:
    """What a planner says, or what vLLM printed: memory of the first stage's GPU, and tokens of the whole cache.

    Attributes:
        weights_gib: what the weights take.
        kv_gib: what is left for the KV cache.
        tokens: that the KV cache holds.
        requests: of the greatest length that fit at once, from a planner that works them out another way.
        note: a word about how the answer came to be.
    """

    weights_gib: float | None
    kv_gib: float | None
    tokens: int
    requests: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Question:
    """A start-up that was measured.

    Attributes:
        name: short, for the recorded answers.
        text: for the table.
        start_up: its name in the table of start-ups.
        model: a file of the registry.
        parameters: of the checkpoint, all in 16 bits, as the Hub counts them in the headers of the files; planners
            that ask the Hub are told this instead.
    """

    name: str
    text: str
    start_up: str
    model: str
    parameters: int

    @cached_property
    def point(self) -> Point:
        """The start-up: its options, what was measured, and what ``vmn`` says of it."""
        return next(point for point in (*started(), *published()) if point.name == self.start_up)

    @property
    def measured(self) -> Answer:
        """What vLLM printed."""
        seen = self.point.measured
        return Answer(seen["weights"][0], seen["available"][0], seen["tokens"])

    @property
    def vmn(self) -> Answer:
        """What ``vmn plan`` expects."""
        prediction = self.point.prediction
        rank = prediction.ranks[0]
        return Answer(rank.weights_gib, rank.available.expected, int(prediction.tokens.expected))

    @property
    def options(self) -> dict[str, Any]:
        """How vLLM was started, as every planner is told it."""
        asked, layout = self.point.context, self.point.layout
        return {
            "parameters": self.parameters,
            "tensor": layout.tensor,
            "pipeline": layout.pipeline,
            "max_model_len": asked.batch.length,
            "max_num_batched_tokens": asked.batch.tokens,
            "max_num_seqs": asked.batch.requests,
            "gpu_memory_utilization": round(asked.budget / asked.gpu.gib, 2),
        }

    @property
    def config(self) -> dict[str, Any]:
        """The model's config.json; the registry leaves out the type of the weights, which other planners read."""
        return {**configuration(self.model), "torch_dtype": "bfloat16"}


QUESTIONS = (
    Question(
        "dense",
        "Qwen3 32B, one H100, vLLM 0.26",
        "Qwen3-32B, H100, a dense model that nearly fills the GPU, 0.26",
        "Qwen--Qwen3-32B",
        32_762_123_264,
    ),
    Question(
        "pipeline",
        "Llama 3.1 8B, two H100 as PP2, 0.19",
        "Llama 3.1 8B, H100, PP2, 0.19",
        "meta-llama--Llama-3.1-8B-Instruct",
        8_030_261_248,
    ),
    Question(
        "latent",
        "DeepSeek V2 Lite, one H100, 0.19",
        "DeepSeek V2 Lite, H100, TP1, 0.19",
        "deepseek-ai--DeepSeek-V2-Lite",
        15_706_484_224,
    ),
)


def recorded() -> dict[str, Any]:
    """Return the answers of the other planners as they were recorded."""
    content: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return content


def table(results: Mapping[str, Any]) -> str:
    """Return the table: what was measured, what ``vmn`` says now, and the recorded answers of the others."""
    lines = [
        "| Question | Source | Weights, GiB | KV cache, GiB | KV cache, tokens | Error of tokens |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for question in QUESTIONS:
        truth = question.measured
        lines.append(_row(question.text, "vLLM (measured)", truth, ""))
        for name, answer in _answers(question, results):
            lines.append(_row("", name, answer, f"{answer.tokens / truth.tokens - 1:+.1%}"))
    return "\n".join(lines)


def _answers(question: Question, results: Mapping[str, Any]) -> Iterator[tuple[str, Answer]]:
    yield "vmn", question.vmn
    for name, found in results["answers"][question.name].items():
        if "refused" not in found:
            answer = Answer(**found)
            label = f"{name} {results['planners'][name]}"
            yield (f"{label}, {answer.note}" if answer.note else label), answer


def _row(question: str, name: str, answer: Answer, error: str) -> str:
    sizes = ["not reported" if gib is None else f"{gib:.2f}" for gib in (answer.weights_gib, answer.kv_gib)]
    return f"| {' | '.join([question, name, *sizes, f'{answer.tokens:,}', error])} |"


if __name__ == "__main__":
    print(table(recorded()))
