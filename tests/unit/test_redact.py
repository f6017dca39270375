"""Secrets are removed from objects and logs, and nothing that explains a failure is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmn.core import redact
from vmn.core.redact import GONE

APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        ("token hf_abcdefghijklmnop is used", "hf_abcdefghijklmnop"),
        ("Authorization: Bearer abc.def-ghi_jkl", "abc.def-ghi_jkl"),
        ("curl -H 'authorization: basic dXNlcjpwYXNz'", "dXNlcjpwYXNz"),
        ("export HF_TOKEN=abcd1234", "abcd1234"),
        ('{"hf_api_token": "abcd1234"}', "abcd1234"),
        ("{'api_key': ['one-key', 'two-key'], 'model': 'm'}", "two-key"),
        ("vllm serve m --api-key abcd1234 --max-model-len 512", "abcd1234"),
        ("vllm serve m --api-key=abcd1234", "abcd1234"),
        ("AWS_SECRET_ACCESS_KEY: abcd/1234", "abcd/1234"),
        ("password = 'open sesame'", "open sesame"),
        ("key AKIAABCDEFGHIJKLMNOP", "AKIAABCDEFGHIJKLMNOP"),
        ("sk-abcdefghijklmnopqrst", "sk-abcdefghijklmnopqrst"),
        ("ghp_abcdefghijklmnopqrst", "ghp_abcdefghijklmnopqrst"),
        ("https://me:open-sesame@proxy.example:3128", "open-sesame"),
        ("eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.c2lnbmF0dXJl", "eyJzdWIiOiIxMjM0"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nafter", "MIIE"),
    ],
)
def test_secret_is_removed_from_a_text(content: str, secret: str) -> None:
    found = redact.text(content)
    assert secret not in found
    assert GONE in found


@pytest.mark.parametrize(
    "content",
    [
        "vllm serve m --max-num-batched-tokens 2048 --tokenizer m --tokenizer-mode auto",
        "INFO: generation_tokens=77 prompt_tokens: 12 max_tokens=16",
        'secret "hf-secret" not found',
        "couldn't find key hf_api_token in Secret serving/hf-secret",
        "no token, or a wrong one; the token is missing",
        "HF_TOKEN=None, api_key=[]",
        "torch.distributed.DistStoreError: Timed out after 1801 seconds waiting for clients. 1/2 clients joined.",
        "https://huggingface.co/meta-llama/Llama-3.1-405B",
    ],
)
def test_text_without_a_secret_stays_as_it_is(content: str) -> None:
    assert redact.text(content) == content


def test_value_of_a_variable_is_removed_when_its_name_is_that_of_a_secret() -> None:
    found = redact.item({"env": [{"name": "MY_PASSWORD", "value": "x1"}, {"name": "HF_HOME", "value": "/cache"}]})
    assert found == {"env": [{"name": "MY_PASSWORD", "value": GONE}, {"name": "HF_HOME", "value": "/cache"}]}


def test_reference_to_a_secret_stays() -> None:
    content = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf-secret", "key": "hf_api_token"}}}
    assert redact.item(content) == content


def test_secret_object_keeps_its_name_and_nothing_else() -> None:
    content = {"kind": "Secret", "metadata": {"name": "a"}, "data": {"x": "c2VjcmV0"}, "stringData": {"y": "plain"}}
    assert redact.item(content) == {"kind": "Secret", "metadata": {"name": "a"}, "data": GONE}


def test_annotations_with_whole_objects_are_removed() -> None:
    metadata = {"annotations": {APPLIED: '{"data": {"x": "c2VjcmV0"}}', "a": "b"}, "managedFields": [{"f": 1}]}
    assert redact.item({"metadata": metadata}) == {"metadata": {"annotations": {APPLIED: GONE, "a": "b"}}}


def test_json_in_a_field_is_read_as_an_object() -> None:
    found = redact.item({"config": json.dumps({"password": "x1", "user": "me"})})
    assert json.loads(found["config"]) == {"password": GONE, "user": "me"}


def test_argument_after_a_secret_flag_is_removed() -> None:
    found = redact.item({"args": ["m", "--api-key", "x1", "--max-model-len", "512", "--api-key=x2"]})
    assert found == {"args": ["m", "--api-key", GONE, "--max-model-len", "512", f"--api-key={GONE}"]}


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789", min_size=12, max_size=40), st.text(max_size=40))
def test_token_of_the_hub_is_removed_wherever_it_appears(token: str, around: str) -> None:
    secret = f"hf_{token}"
    assert secret not in redact.text(f"{around} {secret} {around}")
