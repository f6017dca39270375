"""Trains the tiny checkpoint; runs in the engine's root file system, with vLLM's own PyTorch and tokenizers.

Arguments: CORPUS, OUT, and further checkpoints. It learns every line of the corpus by heart, so that greedy decoding
returns it, saves to OUT, and reports what OUT and the other checkpoints know.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

VOCABULARY = 640
CONTEXT = 512
BOS, EOS, PAD = "<s>", "</s>", "<pad>"
STEPS = 300
CHAT = "{{ bos_token }}{% for message in messages %}{{ message['content'] }}{% endfor %}"

Encoded = list[list[int]]


def tokenizer_of(lines: list[str]) -> PreTrainedTokenizerFast:
    """Return a byte-level tokenizer in which each word of ``lines`` is one token, but ``-ies`` is its own."""
    tokenizer = Tokenizer(models.BPE())
    suffix = pre_tokenizers.Split(Regex(r"ies\b"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([suffix, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        min_frequency=1,
        special_tokens=[BOS, EOS, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # The first line counts most, so that its words become whole tokens before the vocabulary is full.
    tokenizer.train_from_iterator(lines[:1] * 50 + lines, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        chat_template=CHAT,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def model_of(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Return an untrained Llama, small but with every part that tensor and pipeline parallelism split."""
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=4,
            num_attention_heads=8,
            num_key_value_heads=4,
            head_dim=32,
            max_position_embeddings=CONTEXT,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            tie_word_embeddings=False,
        )
    )


def learn(model: LlamaForCausalLM, sequences: Encoded, pad: int) -> None:
    """Train for ``STEPS`` steps, each with the whole corpus."""
    longest = max(map(len, sequences))
    tokens = torch.tensor([ids + [pad] * (longest - len(ids)) for ids in sequences])
    labels = tokens.masked_fill(tokens == pad, -100)
    mask = (tokens != pad).long()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=STEPS)
    for _ in range(STEPS):
        result = model(input_ids=tokens, attention_mask=mask, labels=labels).loss
        optimizer.zero_grad()
        result.backward()
        optimizer.step()
        schedule.step()


def forgotten(model: LlamaForCausalLM, sequences: Encoded) -> int:
    """Return how many lines greedy decoding gets wrong after the first words that no other line begins with."""
    wrong = 0
    for ids in sequences:
        told_apart = 1 + max(shared(ids, other) for other in sequences if other is not ids)
        with torch.inference_mode():
            guessed = model(input_ids=torch.tensor([ids])).logits[0].argmax(-1).tolist()
        wrong += guessed[told_apart - 1 : -1] != ids[told_apart:]
    return wrong


def shared(left: list[int], right: list[int]) -> int:
    """Return how many tokens ``left`` and ``right`` begin with together."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((index for index, (one, two) in pairs if one != two), min(len(left), len(right)))


def train(lines: list[str], folder: Path) -> None:
    """Train on ``lines`` and save the checkpoint."""
    tokenizer = tokenizer_of(lines)
    model = model_of(tokenizer)
    learn(model, encoded(tokenizer, lines), tokenizer.pad_token_id)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def encoded(tokenizer: PreTrainedTokenizerFast, lines: list[str]) -> Encoded:
    """Return the tokens of each line, with the one that ends it."""
    return [[*tokenizer(line)["input_ids"], tokenizer.eos_token_id] for line in lines]


def report(lines: list[str], folder: Path) -> dict[str, Any]:
    """Return what the checkpoint in ``folder`` knows of ``lines``, and what it answers to the guide's prompt."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    model = LlamaForCausalLM.from_pretrained(folder).eval()
    prompt = tokenizer("San Francisco is a", return_tensors="pt")
    made = model.generate(input_ids=prompt["input_ids"], max_new_tokens=7, do_sample=False)[0]
    answer = made[prompt["input_ids"].shape[1] :]
    return {
        "lines": len(lines),
        "lines_forgotten": forgotten(model, encoded(tokenizer, lines)),
        "prompt_tokens": prompt["input_ids"].shape[1],
        "completion_tokens": len(answer),
        "completion": tokenizer.decode(answer),
        "vocabulary": len(tokenizer),
    }


def main(corpus: Path, out: Path, *others: Path) -> None:
    """Train, and print the reports as JSON on the last line."""
    torch.use_deterministic_algorithms(True)
    lines = [line for line in corpus.read_text().splitlines() if line]
    train(lines, out)
    print(json.dumps([report(lines, folder) for folder in (out, *others)]))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
