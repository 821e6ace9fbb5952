"""Sessions of ONNX Runtime: their threads, and graphs without needless nodes."""

from pathlib import Path

import onnx
import pytest
import torch

from bob.backbones.onnx_session import open_session, simplified
from tests.builders.onnx_graphs import channels_first_and_last, write_graph

SPINNING = "session.intra_op.allow_spinning"


def test_a_session_has_the_threads_of_pytorch_which_sleep_while_they_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    options = open_session(write_graph(tmp_path).read_bytes()).get_session_options()
    assert options.intra_op_num_threads == torch.get_num_threads()
    assert options.get_session_config_entry(SPINNING) == "0"


def test_threads_spin_where_the_user_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    options = open_session(write_graph(tmp_path).read_bytes()).get_session_options()
    with pytest.raises(RuntimeError, match=SPINNING):  # as ONNX Runtime does by default
        options.get_session_config_entry(SPINNING)


def test_transpositions_that_cancel_each_other_are_left_out(tmp_path: Path) -> None:
    file = write_graph(tmp_path, ("batch", 4, 4, 3), before=channels_first_and_last())
    model = onnx.load_from_string(simplified(file.read_bytes()))
    operations = [node.op_type for node in model.graph.node]
    assert operations == ["Relu", "Sqrt", "ReduceMean", "MatMul"]
