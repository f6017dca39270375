"""Trains the tiny checkpoint; runs in the engine's root file system, with vLLM's own PyTorch and tokenizers.

Arguments: CORPUS OUT. Every line of the corpus is learnt by heart, so that greedy decoding gives it back.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

VOCABULARY = 1024
CONTEXT = 512
BOS, EOS, PAD = "<s>", "</s>", "<pad>"
STEPS = 150
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
            hidden_size=256,
            intermediate_size=512,
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


def learn(model: LlamaForCausalLM, sequences: Encoded, pad: int) -> float:
    """Train for ``STEPS`` steps of the whole corpus and return the last mean loss per token."""
    longest = max(map(len, sequences))
    tokens = torch.tensor([ids + [pad] * (longest - len(ids)) for ids in sequences])
    labels = tokens.masked_fill(tokens == pad, -100)
    mask = (tokens != pad).long()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=STEPS)
    loss = float("inf")
    for _ in range(STEPS):
        result = model(input_ids=tokens, attention_mask=mask, labels=labels).loss
        optimizer.zero_grad()
        result.backward()
        optimizer.step()
        schedule.step()
        loss = result.item()
    return loss


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


def main(corpus: Path, out: Path) -> None:
    """Train on ``corpus`` and save to ``out``; the last line printed is JSON with the loss and the sizes."""
    torch.use_deterministic_algorithms(True)
    lines = [line for line in corpus.read_text().splitlines() if line]
    tokenizer = tokenizer_of(lines)
    sequences: Encoded = [[*tokenizer(line)["input_ids"], tokenizer.eos_token_id] for line in lines]
    model = model_of(tokenizer)
    loss = learn(model, sequences, tokenizer.pad_token_id)
    model = model.to(torch.bfloat16).eval()
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    prompt = tokenizer("San Francisco is a", return_tensors="pt")
    made = model.generate(**prompt, max_new_tokens=7, do_sample=False)[0]
    answer = made[prompt["input_ids"].shape[1] :]
    print(
        json.dumps(
            {
                "loss": loss,
                "lines": len(lines),
                "lines_forgotten": forgotten(model, sequences),
                "prompt_tokens": prompt["input_ids"].shape[1],
                "completion_tokens": len(answer),
                "completion": tokenizer.decode(answer),
                "vocabulary": len(tokenizer),
                "longest_line": max(map(len, sequences)),
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
