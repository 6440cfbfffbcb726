import json
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from trainer import pretrained
from trainer.contract.command.errors import ModelUnavailable
from trainer.contract.job import from_sources
from trainer.device import Device, numerics


def find(name):
    return pretrained.find(from_sources(None, [], {"model": str(name)}))


def test_a_hub_id_a_folder_and_a_bundled_model(base_model, monkeypatch, tmp_path):
    assert find("a/b").place == "a/b"
    assert find(base_model).place == str(base_model)
    monkeypatch.setattr(pretrained, "BUNDLED", tmp_path)
    shutil.copytree(base_model, tmp_path / "tiny" / "model")
    assert find("bundled:tiny").place == str(tmp_path / "tiny" / "model")
    assert find("bundled:tiny").name == "bundled:tiny"


def test_a_folder_has_the_same_path_from_every_folder(base_model, monkeypatch, tmp_path):
    """PEFT writes this path into adapter_config.json."""
    monkeypatch.chdir(base_model.parent)
    assert find(f"./{base_model.name}").place == str(base_model)
    (base_model.parent / "gone").mkdir(exist_ok=True)
    monkeypatch.chdir(base_model.parent / "gone")
    assert find(f"../{base_model.name}").place == str(base_model.resolve())


@pytest.mark.parametrize("name", ["./none", "/none", "~/none", "../none/there"])
def test_a_missing_folder(name):
    with pytest.raises(ModelUnavailable, match=r"model folder .* does not exist"):
        find(name)


def test_what_is_no_model(tmp_path):
    with pytest.raises(ModelUnavailable, match="no bundled model 'large'"):
        find("bundled:large")
    with pytest.raises(ModelUnavailable, match=r"has no config\.json"):
        find(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelUnavailable, match="is an adapter"):
        find(tmp_path)
    with pytest.raises(ModelUnavailable, match=r"model folder .* does not exist"):
        find(tmp_path / "config.json")


def test_a_folder_without_a_tokenizer(base_model, tmp_path):
    folder = tmp_path / "base"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(base_model / name, folder)
    with pytest.raises(ModelUnavailable, match="has no tokenizer that can be loaded"):
        pretrained.load_tokenizer(find(folder))


@pytest.mark.parametrize("text", ["{}", "{", '{"model_type": "unheard-of"}'])
def test_a_config_that_says_nothing(base_model, tmp_path, text):
    folder = tmp_path / "base"
    shutil.copytree(base_model, folder)
    (folder / "config.json").write_text(text)
    with pytest.raises(ModelUnavailable, match="cannot be loaded"):
        pretrained.pin(find(folder))


def test_a_folder_without_weights(base_model, tmp_path):
    folder = tmp_path / "base"
    shutil.copytree(base_model, folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelUnavailable, match=r"cannot be loaded: .*model\.safetensors"):
        pretrained.load_base(find(folder), numerics(Device("cpu", "cpu"), "fp32"))


class Hub(BaseHTTPRequestHandler):
    """Answers as the hub does for a gated, a missing and a wrongly pinned model."""

    def do_HEAD(self):
        kind = self.path.split("/")[1]
        self.send_response(404 if kind == "RevisionNotFound" else 401)
        self.send_header("X-Error-Code", kind)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD

    def log_message(self, *args):
        pass


ASK = """
import json, sys
from trainer import pretrained
from trainer.contract.command.errors import ModelUnavailable
from trainer.contract.job import Job
for name in sys.argv[1:]:
    try:
        pretrained.pin(pretrained.find(Job(model=name, revision="v9")))
    except ModelUnavailable as fault:
        print(json.dumps([fault.cause, fault.hint]))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What is said about models of a hub that runs here; its address is read at import."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    names = ["GatedRepo/m", "RepoNotFound/m", "RevisionNotFound/m", "not a name"]
    home = str(tmp_path_factory.mktemp("hub"))
    try:
        done = subprocess.run(
            [sys.executable, "-c", ASK, *names],
            env={"HF_ENDPOINT": endpoint, "HF_HOME": home, "HF_HUB_DISABLE_TELEMETRY": "1"},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    return dict(zip(names, map(json.loads, done.stdout.splitlines()), strict=True))


def test_a_gated_model(answers):
    cause, hint = answers["GatedRepo/m"]
    assert cause == "GatedRepo/m is gated, and this machine has no access to it"
    assert hint == "accept its licence at https://huggingface.co/GatedRepo/m, then set HF_TOKEN"


def test_a_model_the_hub_does_not_have(answers):
    for name in ("RepoNotFound/m", "not a name"):
        assert answers[name][0] == f"the hub has no model {name}, or it is private"


def test_a_revision_the_hub_does_not_have(answers):
    assert answers["RevisionNotFound/m"][0] == "RevisionNotFound/m has no revision v9"


def test_a_hub_out_of_reach():
    # The tests run with HF_HUB_OFFLINE=1, which takes the same way as a hub that does not answer.
    with pytest.raises(ModelUnavailable, match="the model hub cannot be reached, and a/b is not"):
        pretrained.pin(find("a/b"))


@pytest.mark.parametrize(
    ("family", "pad"), [("qwen2_5", "<|endoftext|>"), ("llama3_2", "<|finetune_right_pad_id|>")]
)
def test_padding_is_never_the_stop_token(tokenizer_of, family, pad):
    tokenizer = tokenizer_of(family)
    for before in (tokenizer.pad_token, None, tokenizer.eos_token):
        tokenizer.pad_token = before
        pretrained.choose_pad(tokenizer, tokenizer.eos_token_id)
        assert tokenizer.pad_token == pad


def test_a_base_models_end_token_is_not_padding_either(tokenizer_of):
    # Qwen's base models end text with the token they pad with.
    tokenizer = tokenizer_of("qwen2_5")
    tokenizer.eos_token = "<|endoftext|>"
    with pytest.raises(ModelUnavailable, match="no token to pad with"):
        pretrained.choose_pad(tokenizer, tokenizer.convert_tokens_to_ids("<|im_end|>"))
    tokenizer.add_tokens(["<|fim_pad|>"])
    pretrained.choose_pad(tokenizer, tokenizer.convert_tokens_to_ids("<|im_end|>"))
    assert tokenizer.pad_token == "<|fim_pad|>"


def test_precision_follows_the_device(base_model):
    source = find(base_model)
    size = 2 * pretrained.count_parameters(source)
    assert pretrained.choose_precision("auto", source, card_bytes=None) == "fp32"
    assert pretrained.choose_precision("auto", source, card_bytes=2 * size) == "bf16"
    assert pretrained.choose_precision("auto", source, card_bytes=size) == "nf4"
    assert pretrained.choose_precision("auto", source, card_bytes=size, sharded=True) == "bf16"
    assert pretrained.choose_precision("auto", source, card_bytes=None, sharded=True) == "fp32"
    assert pretrained.choose_precision("fp32", source, card_bytes=size) == "fp32"
    assert pretrained.choose_precision("nf4", source, card_bytes=None) == "nf4"


GIB = 2**30


@pytest.mark.parametrize(
    ("parameters", "card", "precision"),
    [
        (3_085_938_688, 22 * GIB, "bf16"),
        (7_615_616_512, 22 * GIB, "nf4"),
        (7_615_616_512, 39 * GIB, "bf16"),
    ],
)
def test_real_models_on_real_cards(monkeypatch, parameters, card, precision):
    monkeypatch.setattr(pretrained, "count_parameters", lambda _: parameters)
    assert pretrained.choose_precision("auto", find("a/b"), card_bytes=card) == precision


def test_a_model_is_loaded_in_the_precision_that_was_chosen(base_model):
    import torch

    source = find(base_model)
    assert (
        pretrained.load_base(source, numerics(Device("cpu", "cpu"), "fp32")).dtype == torch.float32
    )
    assert (
        pretrained.load_base(source, numerics(Device("cpu", "cpu"), "bf16")).dtype == torch.bfloat16
    )
    quantised = pretrained.load_base(source, numerics(Device("cpu", "cpu"), "nf4"))
    layer = quantised.model.layers[0].mlp.up_proj
    assert layer.weight.quant_type == "nf4"
    assert layer.weight.quant_state.nested


def test_a_source_is_pinned_to_a_commit_and_knows_its_context(base_model, monkeypatch):
    import transformers

    plain = pretrained.pin(find(base_model))
    assert (plain.revision, plain.context) == (None, 512)
    config = transformers.AutoConfig.from_pretrained(base_model)
    config._commit_hash = "abc"
    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", lambda *_, **__: config)
    assert pretrained.pin(find("a/b")).revision == "abc"
