"""``vmn plan`` as a user runs it, with a registry of two models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kit.paths import CHECKOUT
from kit.slowness import in_time
from vmn.adapters import models
from vmn.cli import main

Run = Callable[..., Result]
SMALL: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
    "vocab_size": 128256,
}
LARGE: dict[str, Any] = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "model_type": "deepseek_v3",
    "first_k_dense_replace": 3,
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "kv_lora_rank": 512,
    "max_position_embeddings": 163840,
    "moe_intermediate_size": 2048,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_attention_heads": 128,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 61,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
    "topk_method": "noaux_tc",
    "v_head_dim": 128,
    "vocab_size": 129280,
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs the command in an empty directory."""
    registry = tmp_path / "registry"
    registry.mkdir()
    for name, config in {"some/Small-8B": SMALL, "some/Large-671B": LARGE}.items():
        entry = {"name": name, "source": "https://example.org", "date": "2026-11-23", "config": config}
        (registry / f"{name.replace('/', '--')}.json").write_text(json.dumps(entry))
    monkeypatch.setattr(models, "REGISTRY", registry)
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return lambda *arguments: CliRunner().invoke(main, ["plan", *arguments])


@pytest.fixture
def plan(run: Run) -> Callable[..., dict[str, Any]]:
    """Return a function that runs the command and reads its JSON."""

    def call(*arguments: str) -> dict[str, Any]:
        result = run(*arguments, "-o", "json")
        assert result.exit_code in (0, 1), result.output
        content: dict[str, Any] = json.loads(result.stdout)
        return content

    return call


def layout(entry: dict[str, Any]) -> tuple[object, ...]:
    return tuple(entry[part] for part in ("tensor", "pipeline", "data", "expert", "decode_context"))


def test_plan_prints_header_table_and_log_lines(run: Run) -> None:
    result = run("small-8b", "--gpu", "h100", "--gpus-per-node", "2")
    lines = result.stdout.splitlines()
    assert result.exit_code == 0, result.output
    assert lines[0] == "some/Small-8B on 2 h100-80gb, vLLM 0.33.0"
    assert lines[1].startswith(
        "131,072 tokens per request, up to 8,192 tokens and 1,024 requests per step; 72.85 of 79.18"
    )
    assert lines[3].split() == ["layout", "fits", "GiB", "weights", "KV", "tokens", "longest", "concurrency", "network"]
    rows = {" ".join(line.split()[:2]): line for line in lines[4:8]}
    assert rows["TP2 yes"].split()[4] == "131,072"
    assert rows["TP1 DP2"].split()[2] == "no"
    assert "use several groups" in rows["TP1 DP2"]
    assert "vLLM will print, in TP2:" in lines
    said = next(index for index, line in enumerate(lines) if line.startswith("  GPU KV cache size: "))
    assert lines[said + 1].startswith("These tokens are stored ones.")
    assert lines[said + 2].strip().startswith("8,192: ")


def test_plan_says_what_host_memory_holds_of_the_kv_cache(run: Run, plan: Callable[..., dict[str, Any]]) -> None:
    asked = ("small-8b", "--gpu", "h100", "--gpus-per-node", "2", "--kv-offloading-per-gpu", "100")
    text = " ".join(run(*asked).stdout.split())
    assert "must also hold 200 GiB of offloaded KV cache, 100 GiB per GPU" in text
    best = plan(*asked)["layouts"][0]
    # 2 x 32 layers x 8 KV heads x 128 elements x 2 bytes are 128 KiB of a token, whatever the tensor parallel size is.
    assert best["offloaded_kv_cache_tokens"] == pytest.approx(200 * 2**30 / (128 * 2**10), rel=0.001)
    assert plan(*asked[:-2])["layouts"][0]["offloaded_kv_cache_tokens"] == 0
    assert "offloaded" not in run(*asked[:-2]).stdout


def test_plan_keeps_latent_caches_once_for_all_ranks_of_a_replica(plan: Callable[..., dict[str, Any]]) -> None:
    asked = ("large-671b", "--gpu", "h200", "--kv-offloading-per-gpu", "64", "--max-model-len", "32768", "--all")
    by_layout = {layout(entry): entry for entry in plan(*asked)["layouts"]}
    shared, split = (by_layout[8, 1, 1, True, 1], by_layout[4, 1, 2, True, 1])
    # 16 tokens of 61 layers of (512 + 64) elements of 2 bytes, in whole pages: a node holds each once for a replica.
    block = -(-16 * 61 * 576 * 2 // 4096) * 4096
    for entry in (shared, split):
        assert entry["offloaded_kv_cache_tokens"] == pytest.approx(16 * (512 * 2**30 // block), rel=1e-4)


@pytest.mark.parametrize(
    ("options", "why"),
    [(("--tensor", "8", "--pipeline", "2"), "vllm#50653"), (("--tensor", "16", "--force"), "vllm#54415")],
    ids=["stages", "nodes"],
)
def test_plan_refuses_layouts_whose_cache_can_not_be_offloaded(
    plan: Callable[..., dict[str, Any]], options: tuple[str, ...], why: str
) -> None:
    asked = ("large-671b", "--gpu", "h200", "--nodes", "2", *options)
    assert plan(*asked)["layouts"][0]["fits"]
    (only,) = plan(*asked, "--kv-offloading-per-gpu", "64")["layouts"]
    assert why in only["rejected"]


def test_plan_says_what_tokens_mean_with_several_kinds_of_cache(run: Run) -> None:
    windows = {**SMALL, "model_type": "gemma3_text", "sliding_window": 1024, "sliding_window_pattern": 6}
    Path("config.json").write_text(json.dumps(windows))
    result = run("--config", "config.json", "--gpu", "h100", "--gpus-per-node", "2")
    text = " ".join(result.stdout.split())
    assert "This model has several kinds of cache, so the size is not a number of stored tokens" in text
    counts = [float(part.partition(": ")[2].replace(",", "")) for part in result.stdout.splitlines()[-1].split(", ")]
    assert len(counts) >= 3
    assert counts == sorted(counts, reverse=True)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ('{"method": "eagle3", "model": "some/draft"}', 'asks for the method "eagle3", whose memory the planner'),
        ('{"method": "mtp", "num_speculative_tokens": 1}', "asks for mtp, but vLLM has no multi-token prediction"),
        ("{", "--speculative-config is not JSON"),
        ("[1]", "--speculative-config has no fields"),
    ],
)
def test_plan_refuses_drafts_that_it_can_t_count(run: Run, config: str, words: str) -> None:
    result = run("Small-8B", "--gpu", "h100", "--gpus-per-node", "1", "--speculative-config", config)
    assert (result.exit_code, words in " ".join(result.output.split())) == (2, True)


def test_plan_counts_layers_for_multi_token_prediction(plan: Callable[..., dict[str, Any]]) -> None:
    Path("config.json").write_text(json.dumps({**LARGE, "num_nextn_predict_layers": 1}))
    options = ("--config", "config.json", "--gpu", "h200", "--tensor", "8")
    without = plan(*options)["layouts"][0]
    drafting = plan(*options, "--speculative-config", '{"method": "mtp", "num_speculative_tokens": 1}')["layouts"][0]
    more = drafting["ranks"][0]["weights_gib"] - without["ranks"][0]["weights_gib"]
    assert 1.4 < more < 1.8  # 11.5 GB of experts and attention in 8 bits, and a projection in 16 bits, over 8 GPUs
    assert drafting["kv_cache_tokens"]["expected"] < without["kv_cache_tokens"]["expected"] * 61 / 62


@pytest.mark.parametrize(("tokens", "words"), [(1, "1 token drafted"), (3, "each request reserves 3 slots")])
def test_plan_says_what_is_drafted(run: Run, tokens: int, words: str) -> None:
    Path("config.json").write_text(json.dumps({**LARGE, "num_nextn_predict_layers": 1}))
    config = json.dumps({"method": "mtp", "num_speculative_tokens": tokens})
    options = ("--config", "config.json", "--gpu", "h200", "--nodes", "2")
    assert words in run(*options, "--speculative-config", config).stdout.splitlines()[2]
    assert "drafted" not in run(*options).stdout
    explained = run(*options, "--speculative-config", config, "--explain").stdout
    assert "first stage, and last stage for drafts" in explained
    content = json.loads(run(*options, "--speculative-config", config, "--output", "json").stdout)
    assert content["speculative_tokens"] == tokens


def test_plan_keeps_to_its_width_when_all_layouts_are_shown(run: Run) -> None:
    result = run("Large-671B", "--gpu", "h100", "--nodes", "8", "--all")
    table = result.stdout.partition("vLLM will print")[0]
    assert max(len(line) for line in table.splitlines()) <= 120
    assert "more:" not in table
    assert "\x1b" not in result.stdout


def test_plan_shows_ten_layouts_and_counts_the_rest(run: Run) -> None:
    table = run("Large-671B", "--gpu", "h100", "--nodes", "2").stdout.splitlines()[4:]
    assert table[10].split()[1] == "more:"
    assert table[10].endswith("(--all shows them)")


def test_plan_as_json_has_every_layout_the_best_first(plan: Callable[..., dict[str, Any]]) -> None:
    content = plan("some/Large-671B", "--gpu", "h100", "--nodes", "2")
    assert (content["model"], content["gpu"], content["vllm_version"]) == ("some/Large-671B", "h100-80gb", "0.33.0")
    best = content["layouts"][0]
    assert layout(best) == (8, 2, 1, False, 1)
    assert [rank["layers"] for rank in best["ranks"]] == [31, 30]
    assert best["max_model_len"] == 163840
    order = [(entry["rejected"] is not None, not entry["fits"]) for entry in content["layouts"]]
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--tensor", "8", "--pipeline", "2"], (8, 2, 1, False, 1)),
        (["--tensor", "8"], (8, 2, 1, False, 1)),
        (["--pipeline", "2"], (8, 2, 1, False, 1)),
        (["--data", "16", "--expert"], (1, 1, 16, True, 1)),
        (["--tensor", "8", "--decode-context", "4"], (8, 2, 1, False, 4)),
        (["--tensor", "8", "--pipeline", "1", "--data", "1"], (8, 1, 1, False, 1)),
    ],
)
def test_plan_has_only_the_layout_that_is_asked_for(
    plan: Callable[..., dict[str, Any]], options: list[str], expected: tuple[object, ...]
) -> None:
    (entry,) = plan("Large-671B", "--gpu", "h100", "--nodes", "2", *options)["layouts"]
    assert layout(entry) == expected


def test_plan_filters_when_only_the_kind_of_layout_is_asked_for(plan: Callable[..., dict[str, Any]]) -> None:
    entries = plan("Large-671B", "--gpu", "h100", "--no-expert", "--decode-context", "2")["layouts"]
    assert len(entries) > 1
    assert {(entry["expert"], entry["decode_context"]) for entry in entries} == {(False, 2)}


def test_plan_says_why_when_what_is_asked_for_is_refused(run: Run) -> None:
    result = run("Small-8B", "--gpu", "h100", "--expert")
    assert result.exit_code == 1
    assert "expert parallelism needs a mixture of experts" in result.stdout


def test_plan_ends_with_1_and_prints_vllms_error_when_nothing_fits(run: Run) -> None:
    result = run("Large-671B", "--gpu", "h100")
    assert result.exit_code == 1
    assert "leave nothing of 72.85 GiB for the KV cache" in result.stdout
    assert "No layout has room" in result.stdout
    assert "ValueError: No available memory for the cache blocks." in result.stdout


def test_plan_says_which_length_fits_when_the_one_asked_for_does_not(
    run: Run, plan: Callable[..., dict[str, Any]]
) -> None:
    asked = ["Small-8B", "--gpu", "a10g", "--gpus-per-node", "1"]
    result = run(*asked)
    assert result.exit_code == 1
    assert "a request of 131,072 tokens needs" in result.stdout
    length = result.stdout.partition("fits with --max-model-len ")[2].split(".")[0]
    assert plan(*asked, "--max-model-len", length)["layouts"][0]["fits_for_sure"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["lareg-671b", "--gpu", "h100"], "Did you mean some/Large-671B"),
        (["small", "--gpu", "h100"], "Did you mean some/Small-8B"),
        (["Small-8B", "--gpu", "h10"], "Did you mean h100"),
        (["Small-8B", "--gpu", "h100", "--vllm-version", "new"], "new is not a version of vLLM"),
        (["Small-8B", "--gpu", "h100", "--max-model-len", "131073"], "exceeds the model's own limit of 131072"),
        (["Small-8B", "--gpu", "h100", "--plot", "a.png"], "must end with .svg"),
        (["Small-8B", "--gpu", "h100", "--quantization", "fp8"], "no longer supports online quantization"),
        (["Small-8B", "--gpu", "h100", "--quantization", "awq"], "stored that way"),
        (["Large-671B", "--gpu", "h100", "--quantization", "awq"], "(fp8) does not match"),
        (["Small-8B"], "--gpu"),
        (["--gpu", "h100"], "--config FILE"),
        (["--gpu", "h100", "--config", "none.json"], "none.json"),
    ],
)
def test_plan_ends_with_2_and_says_what_is_wrong(run: Run, arguments: list[str], says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "is not JSON"),
        ("[]", "has no fields"),
        ("\udcff", "is not a text file"),
        (json.dumps({**SMALL, "hidden_size": None}), "hidden_size"),
        (json.dumps({key: value for key, value in SMALL.items() if key != "vocab_size"}), "vocab_size"),
        (json.dumps({**SMALL, "num_hidden_layers": 0}), "num_hidden_layers"),
        (json.dumps({**SMALL, "num_attention_heads": 0}), "num_attention_heads"),
        (json.dumps({**SMALL, "num_key_value_heads": "many"}), "num_key_value_heads"),
        (json.dumps({**SMALL, "quantization_config": {"quant_method": "new"}}), "quant_method"),
        (json.dumps({**SMALL, "num_hidden_layers": 2, "layer_types": ["new", "new"]}), "layer_types"),
    ],
)
def test_plan_names_the_field_when_a_configuration_is_broken(run: Run, content: str, says: str) -> None:
    Path("my.json").write_text(content, encoding="utf-8", errors="surrogateescape")
    result = run("--config", "my.json", "--gpu", "h100")
    assert result.exit_code == 2, result.output
    assert "my.json" in result.stderr
    assert says in result.stderr


@pytest.mark.parametrize("where", ["own/config.json", "own"])
def test_plan_takes_any_configuration_in_a_file_or_directory(run: Run, where: str) -> None:
    Path("own").mkdir()
    Path("own/config.json").write_text(json.dumps(SMALL))
    result = run("--config", where, "--gpu", "l4", "--max-model-len", "4096")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("own on 8 l4")


def test_plan_needs_less_for_weights_when_they_are_quantised_while_loading(plan: Callable[..., dict[str, Any]]) -> None:
    asked = ["Small-8B", "--gpu", "h100", "--tensor", "1", "--gpus-per-node", "1"]
    (plain,), (small,) = (plan(*asked, *more)["layouts"] for more in ([], ["--quantization", "fp8_per_tensor"]))
    assert plain["ranks"][0]["weights_gib"] == pytest.approx(15.0, rel=0.01)
    assert small["ranks"][0]["weights_gib"] == pytest.approx(8.5, rel=0.02)
    (old,) = plan(*asked, "--quantization", "fp8", "--vllm-version", "0.10.0")["layouts"]
    assert old["ranks"][0]["weights_gib"] == small["ranks"][0]["weights_gib"]


def test_plan_explains_the_layout_that_is_asked_for(run: Run) -> None:
    result = run("Large-671B", "--gpu", "h100", "--nodes", "2", "--tensor", "4", "--explain")
    assert result.exit_code == 0, result.output
    words = (
        "TP4 PP4: yes",
        "W_UK_T and W_UV",
        "1,152 per token",
        "the fewest blocks decides",
        "stage 3: ",
        "vLLM will print",
    )
    assert [word for word in words if word not in result.stdout] == []
    explained = result.stdout.partition("vLLM will print")[0]
    assert max(len(line) for line in explained.splitlines()) <= 120


def test_plan_explains_why_when_the_layout_is_refused(run: Run) -> None:
    result = run("Small-8B", "--gpu", "h100", "--data", "8", "--explain")
    assert result.exit_code == 1
    assert "TP1 DP8: no, data parallelism in one engine" in result.stdout


@pytest.mark.parametrize("nodes", ["1", "2"], ids=["missing", "fits"])
def test_plan_draws_a_well_formed_picture(run: Run, nodes: str) -> None:
    result = run("Large-671B", "--gpu", "h100", "--nodes", nodes, "--plot", "bars.svg")
    assert "wrote bars.svg" in result.stderr
    picture = ET.fromstring(Path("bars.svg").read_text())
    texts = [node.text for node in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert [text for text in texts if text and text.startswith("stage")] == [f"stage {i}" for i in range(int(nodes))]
    assert {"KV cache", "experts", "79.18 GiB"} <= set(texts)
    assert any(text and "GiB missing" in text for text in texts) == (nodes == "1")


def test_plan_draws_nothing_when_the_layout_is_refused(run: Run) -> None:
    result = run("Small-8B", "--gpu", "h100", "--data", "8", "--plot", "bars.svg")
    assert "was not written" in result.stderr
    assert not Path("bars.svg").exists()


@pytest.mark.slow
def test_plan_of_64_gpus_takes_half_a_second(plan: Callable[..., dict[str, Any]]) -> None:
    times = []
    for _ in range(3):  # the processor's time, the best of three, and twice what is promised: the machine may be busy
        start = time.process_time()
        plan("Large-671B", "--gpu", "h100", "--nodes", "8", "--network", "infiniband")
        times.append(time.process_time() - start)
    assert in_time(min(times), 2 * 0.5), times


@pytest.mark.parametrize("arguments", [["--help"], ["plan", "--help"], ["plan", "Qwen/Qwen3-32B", "--gpu", "h100"]])
def test_plan_imports_nothing_that_it_does_not_need(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom vmn.cli import main\n"
        "try: main()\nexcept SystemExit: print(*sorted(sys.modules), file=sys.stderr)"
    )
    env = os.environ | {"PYTHONPATH": str(CHECKOUT / "tools")}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=env, capture_output=True, text=True, timeout=30, check=True
    )
    imported = set(done.stderr.split())
    assert "vmn.cli" in imported
    assert not {"jsonschema", "yaml"} & imported
    assert ("vmn.core.planning" in imported) == ("--gpu" in arguments)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["Small-8B", "--nodes", "4"],
            "1 node is enough: 4 one-node groups serve more requests than one four-node group.",
        ),
        (
            ["Large-671B", "--nodes", "4"],
            "2 nodes are enough: 2 two-node groups serve more requests than one four-node group.",
        ),
        (["Large-671B", "--nodes", "2"], None),
    ],
)
def test_plan_advises_replicas_when_fewer_nodes_are_enough(run: Run, arguments: list[str], says: str | None) -> None:
    output = run(*arguments, "--gpu", "h100").stdout
    assert ("enough" in output) == (says is not None)
    assert says is None or says in output
