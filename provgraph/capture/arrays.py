"""Arrays and tensors digested by content: `array-v1` and `sparse-v1` (docs/digests.md).

The digest covers the element type by its common name, the shape, and the elements bit for bit in C
order and little-endian. So NumPy, PyTorch, JAX and TensorFlow agree where type, shape and bits
agree; device, strides, byte order and gradients are no content. Unlike a table an array keeps its
type: float32 and float64 are different arrays, and so are 0.0 and -0.0.

No library is imported here except numpy, inside functions. What lies on a device, or is not
contiguous, is copied block by block.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from provgraph.capture.cells import numpy_column
from provgraph.capture.tables import digest_table
from provgraph.digests import Digest
from provgraph.errors import CaptureError

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

# How much is copied at once.
_BLOCK_BYTES: Final = 4 * 1024 * 1024


def digest_array(array: Array) -> tuple[Digest, int]:
    """Return the `array-v1` digest of a numpy array, and the bytes it covers.

    Texts and objects are digested as `table-v1` does a column, with the shape before it.

    Raises:
        CaptureError: a dtype or an object that has no canonical form.
    """
    if array.dtype.kind in "OUST":
        return _digest_cells(array)
    _require_plain(array.dtype)
    return _finish("array-v1", _header(array.dtype.name, array.shape), _numpy_bytes(array))


def digest_tensor(tensor: Any) -> tuple[Digest, int]:
    """Return the `array-v1` digest of a PyTorch tensor on any device, and the bytes it covers.

    Raises:
        CaptureError: sparse, quantized, or without data (meta, fake, nested).
    """
    torch = sys.modules["torch"]
    kind = str(tensor.dtype).removeprefix("torch.")
    if tensor.is_sparse or tensor.layout != torch.strided:
        raise CaptureError(
            f"a tensor of layout {tensor.layout} is not dense; hand over .to_dense()"
        )
    if tensor.is_quantized or kind.startswith("q"):
        raise CaptureError(
            f"a quantized tensor ({kind}) has no canonical form; hand over .dequantize()"
        )
    if tensor.is_meta or tensor.is_nested:
        raise CaptureError("a tensor without data or without one shape has no content to digest")
    plain = tensor.detach().resolve_conj().resolve_neg()
    return _finish("array-v1", _header(kind, tuple(tensor.shape)), _tensor_bytes(plain, torch))


def digest_sparse(matrix: Any) -> tuple[Digest, int]:
    """Return the `sparse-v1` digest of a SciPy sparse matrix, and the bytes it covers.

    Duplicates are summed, explicit zeros dropped, elements sorted by row, then column: all formats
    of one matrix agree.

    Raises:
        CaptureError: more than two dimensions, or an element type without a canonical form.
    """
    import numpy as np

    if len(matrix.shape) != 2:
        raise CaptureError(f"a sparse array of shape {matrix.shape} is not a matrix; reshape it")
    _require_plain(matrix.dtype)
    rows = matrix.tocsr()
    if not rows.has_canonical_format or not rows.data.all():
        rows = rows.copy() if rows is matrix else rows
        rows.sum_duplicates()
        rows.eliminate_zeros()
    shape = ",".join(map(str, matrix.shape))
    header = f"provgraph sparse-v1\n{rows.dtype.name} {shape} {rows.nnz}\n"
    parts = (rows.indptr.astype(np.int64), rows.indices.astype(np.int64), rows.data)
    return _finish("sparse-v1", header, chain.from_iterable(map(_numpy_bytes, parts)))


def _digest_cells(array: Array) -> tuple[Digest, int]:
    cells = partial(numpy_column, array.reshape(-1))
    table, size_bytes = digest_table([("", cells)], rows=array.size)
    content = _header("cells", array.shape) + str(table)
    return Digest("array-v1", hashlib.sha256(content.encode()).hexdigest()), size_bytes


def _header(kind: str, shape: tuple[int, ...]) -> str:
    return f"provgraph array-v1\n{kind} {','.join(map(str, shape))}\n"


def _finish(algorithm: str, header: str, blocks: Iterator[Array]) -> tuple[Digest, int]:
    hasher = hashlib.sha256(header.encode())
    size_bytes = 0
    for block in blocks:
        hasher.update(block.data)
        size_bytes += block.nbytes
    return Digest(algorithm, hasher.hexdigest()), size_bytes


def _require_plain(dtype: Any) -> None:
    # ml_dtypes' bfloat16 and float8 are void to numpy, but have a name and a width.
    if dtype.kind == "O" or (dtype.kind == "V" and dtype.type.__module__ == "numpy"):
        raise CaptureError(f"elements of type {dtype} have no canonical form")
    if dtype.itemsize > (16 if dtype.kind == "c" else 8):
        raise CaptureError(f"{dtype} differs between platforms; convert it to float64")


def _numpy_bytes(array: Array) -> Iterator[Array]:
    """Yield the elements of an array as bytes, in C order and little-endian."""
    import numpy as np

    if not array.size:
        return
    width = array.dtype.itemsize
    if array.dtype.kind not in "biufc" or array.dtype.type.__module__ != "numpy":
        # The same bits under a plain type: dates and bfloat16 cannot be iterated over in blocks.
        array = array.view(f"{'=' if array.dtype.isnative else array.dtype.byteorder}u{width}")
    little = array.dtype.newbyteorder("<")
    if array.flags.c_contiguous and array.dtype == little:
        yield array.reshape(-1).view(np.uint8)
        return
    blocks = np.nditer(
        array,
        flags=["external_loop", "buffered"],
        op_dtypes=[little],
        casting="equiv",
        order="C",
        buffersize=max(1, _BLOCK_BYTES // width),
    )
    for block in blocks:
        yield np.ascontiguousarray(block).view(np.uint8)


def _tensor_bytes(tensor: Any, torch: Any) -> Iterator[Array]:
    if not tensor.numel():
        return
    # numpy has no bfloat16 and no float8: their bits under an integer type.
    bits = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    if tensor.element_size() in bits:
        tensor = tensor.view(bits[tensor.element_size()])
    if tensor.device.type == "cpu":
        yield from _numpy_bytes(tensor.numpy())
    else:
        for part in _device_parts(tensor):
            yield from _numpy_bytes(part.cpu().numpy())


def _device_parts(tensor: Any) -> Iterator[Any]:
    """Cut a tensor into parts of about _BLOCK_BYTES, in order, without a copy on its device."""
    if tensor.is_contiguous():
        tensor = tensor.view(-1)
    step = max(1, _BLOCK_BYTES * len(tensor) // (tensor.numel() * tensor.element_size()))
    for start in range(0, len(tensor), step):
        yield tensor[start : start + step]
