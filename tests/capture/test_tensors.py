"""Tensors of PyTorch, JAX and TensorFlow: the digest of the NumPy array with the same content.

None of the three is in the test extra, for their size. Where one is installed its tests run.
"""

import hashlib
import importlib
import os

import numpy as np
import pytest

from provgraph.capture import arrays
from provgraph.capture.data import describe, describe_object
from provgraph.errors import CaptureError

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("JAX_PLATFORMS", "cpu")


SIZES = {"torch": "5 GB with its CUDA libraries", "jax": "360 MB", "tensorflow": "1.2 GB"}


def load(name):
    reason = f"{name} is not installed; it is not in the test extra for its size ({SIZES[name]})"
    return pytest.importorskip(name, reason=reason)


@pytest.fixture(scope="module")
def torch():
    return load("torch")


@pytest.fixture(scope="module")
def jnp():
    load("jax")
    return importlib.import_module("jax.numpy")


@pytest.fixture(scope="module")
def tf():
    return load("tensorflow")


def digest(obj):
    return str(describe(obj).digest)


COMMON = [
    "bool", "int8", "int16", "int32", "uint8", "uint16", "uint32", "float16", "float32", "complex64",
]  # fmt: skip
WIDE = ["int64", "uint64", "float64", "complex128"]
SHAPES = [(), (0,), (3,), (2, 3), (2, 1, 4)]


def sample(dtype, shape):
    return np.arange(np.prod(shape, dtype=int)).astype(dtype).reshape(shape)


# ---- PyTorch ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [*COMMON, *WIDE])
def test_torch_agrees_with_numpy(torch, dtype, shape):
    array = sample(dtype, shape)
    tensor = torch.from_numpy(array.copy())
    assert str(tensor.dtype) == f"torch.{dtype}"
    assert digest(tensor) == digest(array)
    assert describe(tensor).size_bytes == array.nbytes


def test_torch_layout_and_gradients_are_no_content(torch):
    array = np.random.default_rng(0).random((6, 5, 4))
    tensor = torch.from_numpy(array)
    turned = tensor.permute(2, 0, 1)
    assert digest(turned) == digest(array.transpose(2, 0, 1))
    assert digest(turned.contiguous()) == digest(turned)
    assert digest(tensor[::2, 1:, ::3]) == digest(array[::2, 1:, ::3])
    assert digest(tensor[:1].expand(3, 5, 4)) == digest(np.broadcast_to(array[:1], (3, 5, 4)))
    learned = tensor.clone().requires_grad_()
    assert digest(learned) == digest(tensor)
    assert digest((learned * 1).sum(0)) == digest((tensor * 1).sum(0))
    assert digest(torch.nn.Parameter(tensor)) == digest(tensor)
    assert learned.requires_grad is True


def test_torch_lazy_conjugates_are_resolved(torch):
    array = np.array([1 + 2j, -3j], "complex64")
    tensor = torch.from_numpy(array)
    assert digest(tensor.conj()) == digest(array.conj())
    assert digest(tensor.conj().imag) == digest(array.conj().imag.copy())


@pytest.mark.parametrize("kind", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_torch_types_that_numpy_lacks(torch, kind):
    of_type = getattr(torch, kind)
    values = torch.tensor(
        [[1.0, -2.5, 0.0], [float("inf") if kind != "float8_e4m3fn" else 4, 7, 8]]
    )
    tensor = values.to(of_type)
    bits = tensor.view(torch.int16 if kind == "bfloat16" else torch.uint8).numpy()
    header = f"provgraph array-v1\n{kind} 2,3\n".encode()
    assert digest(tensor) == f"array-v1:{hashlib.sha256(header + bits.tobytes()).hexdigest()}"
    assert digest(tensor.T) == digest(tensor.T.contiguous())
    assert digest(tensor) != digest(values)
    assert digest(tensor[0, 0]) == digest(torch.tensor(1.0).to(of_type))


@pytest.mark.parametrize("turned", [False, True], ids=["contiguous", "strided"])
def test_parts_for_a_device_are_the_whole_in_order(torch, monkeypatch, turned):
    monkeypatch.setattr(arrays, "_BLOCK_BYTES", 100)
    tensor = torch.arange(7 * 11 * 3, dtype=torch.float32).reshape(7, 11, 3)
    tensor = tensor.permute(2, 0, 1) if turned else tensor
    parts = list(arrays._device_parts(tensor))
    assert len(parts) == (3 if turned else 10)
    assert torch.equal(torch.cat([part.reshape(-1) for part in parts]), tensor.reshape(-1))
    assert [part.numel() * 4 for part in parts[:2]] == ([308, 308] if turned else [100, 100])


def test_torch_on_a_gpu_agrees_with_the_host(torch, monkeypatch):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    monkeypatch.setattr(arrays, "_BLOCK_BYTES", 1000)
    tensor = torch.rand(50, 40, requires_grad=True)
    assert digest(tensor.cuda()) == digest(tensor)
    assert digest(tensor.cuda().T) == digest(tensor.T)
    assert digest(tensor.cuda().bfloat16()) == digest(tensor.bfloat16())
    assert digest(tensor.cuda().sum()) == digest(tensor.cuda().sum().cpu())


def test_torch_tensors_without_dense_content_are_refused(torch):
    with pytest.raises(
        CaptureError, match=r"torch.sparse_coo is not dense; hand over .to_dense\(\)"
    ):
        describe(torch.eye(2).to_sparse())
    with pytest.raises(CaptureError, match="without data"):
        describe(torch.empty(2, device="meta"))


def test_the_weights_of_a_torch_module(torch):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    described = describe(model)
    assert described.kind == "model"
    assert described.digest == describe(model.state_dict()).digest
    assert (
        described.digest
        == describe({name: weight.numpy() for name, weight in model.state_dict().items()}).digest
    )
    assert described.description == ("PyTorch model torch.nn.Sequential, 17 weights in 7 tensors")
    before = described.digest
    with torch.no_grad():
        model[0].weight[0, 0] += 1
    assert describe(model).digest != before
    assert describe(torch.nn.ReLU()) is None
    assert describe_object(model) == "torch.nn.Sequential object"


def test_a_torch_loader_is_not_run(torch):
    from torch.utils.data import DataLoader

    with pytest.raises(CaptureError, match="reading it would run the pipeline"):
        describe(DataLoader([1, 2, 3]))


# ---- JAX -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", COMMON)
def test_jax_agrees_with_numpy(jnp, dtype, shape):
    array = sample(dtype, shape)
    made = jnp.asarray(array)
    assert str(made.dtype) == dtype
    assert digest(made) == digest(array)
    assert digest(made.T) == digest(array.T)


def test_jax_bfloat16_agrees_with_torch(jnp, torch):
    values = [1.0, -2.5, 3e38, 0.1]
    assert digest(jnp.array(values, jnp.bfloat16)) == digest(torch.tensor(values).bfloat16())


def test_a_tree_of_jax_parameters(jnp):
    tree = {"layer": {"w": jnp.ones((2, 3)), "b": jnp.zeros(3)}, "scale": jnp.array(2.0)}
    plain = {
        "scale": np.array(2.0, "float32"),
        "layer": {"b": np.zeros(3, "float32"), "w": np.ones((2, 3), "float32")},
    }
    assert digest(tree) == digest(plain)


def test_jax_arrays_without_values_are_refused(jnp):
    import jax

    with pytest.raises(CaptureError, match="it is traced and has no values; record it outside"):
        jax.jit(lambda x: describe(x) and x)(jnp.ones(2))
    gone = jnp.ones(2)
    gone.delete()
    with pytest.raises(CaptureError, match="has been deleted"):
        describe(gone)


# ---- TensorFlow ------------------------------------------------------------------------------------
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [*COMMON, *WIDE])
def test_tensorflow_agrees_with_numpy(tf, dtype, shape):
    array = sample(dtype, shape)
    assert digest(tf.constant(array)) == digest(array)


def test_tensorflow_variables_texts_and_bfloat16(tf):
    assert digest(tf.Variable([1.0, 2.0])) == digest(np.array([1.0, 2.0], "float32"))
    assert digest(tf.constant(["a", "bc"])) == digest(np.array([b"a", b"bc"], object))
    half = tf.constant([1.0, -2.5], tf.bfloat16)
    assert describe(half).description == "TensorFlow tensor, bfloat16, 2"


def test_a_tensorflow_pipeline_is_not_run(tf):
    with pytest.raises(CaptureError, match="reading it would run the pipeline"):
        describe(tf.data.Dataset.from_tensor_slices([1, 2]))
