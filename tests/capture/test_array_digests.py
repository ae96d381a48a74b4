"""`array-v1` and `sparse-v1`: type, shape and bits, wherever and however they lie in memory."""

import hashlib
import math

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from provgraph.capture.data import describe
from provgraph.errors import CaptureError


def digest(obj):
    return str(describe(obj).digest)


def expected(kind, shape, data):
    """`array-v1` as docs/digests.md defines it."""
    header = f"provgraph array-v1\n{kind} {','.join(map(str, shape))}\n".encode()
    return f"array-v1:{hashlib.sha256(header + data).hexdigest()}"


PLAIN = """bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64
complex128 datetime64[ns] timedelta64[s]"""


@pytest.mark.parametrize("dtype", PLAIN.split())
def test_plain_types(dtype):
    array = np.arange(6).astype(dtype).reshape(2, 3)
    assert digest(array) == expected(dtype, (2, 3), array.tobytes())
    assert digest(array.astype(array.dtype.newbyteorder(">"))) == digest(array)
    assert digest(np.asfortranarray(array)) == digest(array)


def test_the_format_is_pinned():
    assert digest(np.array([[1.5, -0.0], [math.inf, 2]], "float32")) == (
        "array-v1:8cf4c0bca4a34c14eab43da4a7e4a5c44f41e9322926799f530a316e1246197e"
    )
    assert digest(sp.csr_array(np.array([[0, 1.5], [2, 0]]))) == (
        "sparse-v1:1c1650ab97240d92c4b0ff70c429eb3411e023912df7628ca198cfb0c946b653"
    )


@given(
    npst.arrays(
        st.sampled_from(["int16", "float64", "complex64", ">f4", "bool", "datetime64[us]"]),
        npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
    ),
    st.randoms(),
)
def test_memory_layout_is_no_content(array, random):
    plain = np.array(array, order="C", copy=True).astype(array.dtype.newbyteorder("<"))
    axes = list(range(array.ndim))
    random.shuffle(axes)
    turned = array.transpose(axes)
    assert digest(array) == expected(array.dtype.name, array.shape, plain.tobytes())
    assert digest(turned) == digest(np.array(turned, order="C", copy=True))
    if array.ndim:
        twice = np.repeat(array, 2, axis=0)
        assert digest(twice[::2]) == digest(array)
        assert digest(twice[::-2]) == digest(array[::-1].copy())


def test_an_array_that_does_not_fit_into_one_block():
    array = np.random.default_rng(0).random((1500, 1100))
    assert array.nbytes > 3 * 4 * 1024 * 1024
    assert digest(array.T) == expected("float64", (1100, 1500), array.T.tobytes())
    assert digest(array[:, ::3]) == expected("float64", (1500, 367), array[:, ::3].tobytes())


def test_a_memory_map_is_an_array(tmp_path):
    array = np.arange(10.0)
    np.save(tmp_path / "a.npy", array)
    assert digest(np.load(tmp_path / "a.npy", mmap_mode="r")) == digest(array)


def test_type_shape_and_bits_are_content():
    base = np.array([1.0, 0.0, math.nan, 4.0])
    others = [
        base.astype("float32"),
        base.reshape(2, 2),
        base.reshape(4, 1),
        base[::-1],
        np.array([1.0, -0.0, math.nan, 4.0]),
        np.array([1.0, 0.0, math.nan, 4.0000000000000009]),
        base[:3],
        np.zeros((0, 4)),
        np.zeros((4, 0)),
        np.array(1.0),
        base.view("int64"),
    ]
    assert len({digest(array) for array in [base, *others]}) == 1 + len(others)


def test_texts_and_objects():
    texts = np.array(["a", "bcd", ""])
    assert digest(texts) == digest(texts.astype("U40")) == digest(texts.astype(object))
    assert digest(texts) != digest(texts.reshape(3, 1))
    assert digest(np.array(["ab", "c"])) != digest(np.array(["a", "bc"]))
    assert digest(np.array([b"ab"])) != digest(np.array(["ab"]))
    assert describe(texts).size_bytes == 1 + 3 * 8 + 4


@pytest.mark.skipif(np.__version__ < "2", reason="numpy 1 has no strings of its own")
def test_texts_of_variable_width():
    texts = np.array(["a", "bcd", ""])
    assert digest(texts.astype(np.dtypes.StringDType())) == digest(texts)


def test_structured_arrays_are_tables():
    array = np.array([(1, 2.5, "x"), (2, math.nan, "y")], "i4,f8,U3")
    array.dtype.names = ("id", "score", "name")
    described = describe(array)
    frame = pd.DataFrame({"id": [1, 2], "score": [2.5, None], "name": ["x", "y"]})
    assert described.digest == describe(frame).digest
    assert described.description == "NumPy structured array, 2 rows x 3 columns"
    assert (described.rows, described.columns) == (2, 3)


def test_what_lies_below_a_mask_is_no_content():
    first = np.ma.masked_array([1.0, 2.0, 3.0], [False, True, False])
    second = np.ma.masked_array([1.0, 9.0, 3.0], [False, True, False])
    assert digest(first) == digest(second)
    assert digest(first) != digest(np.ma.masked_array([1.0, 0.0, 3.0], False))
    assert digest(first) == digest(
        {"data": np.array([1.0, 0.0, 3.0]), "mask": np.array([False, True, False])}
    )


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros(2, "longdouble"), "longdouble|float128|differs between platforms"),
        (np.zeros(2, "clongdouble"), "differs between platforms"),
        (np.zeros(2, "V3"), "have no canonical form"),
        (np.zeros((2, 2), "i4,f8"), "have no canonical form"),
        (np.array([object()]), "row 0 holds a builtins.object, which has no canonical form"),
    ],
    ids=["longdouble", "clongdouble", "void", "structured 2-d", "objects"],
)
def test_arrays_without_a_canonical_form_are_refused(array, reason):
    with pytest.raises(CaptureError, match=reason):
        describe(array)


def test_descriptions():
    described = describe(np.zeros((2000, 3), "float32"))
    assert described.kind == "dataset"
    assert (described.rows, described.columns, described.size_bytes) == (2000, 3, 24_000)
    assert described.description == "NumPy array, float32, 2,000 x 3"
    scalar = describe(np.array(1))
    assert (scalar.rows, scalar.columns) == (None, None)
    assert scalar.description == "NumPy array, int64, one value"
    cube = describe(np.zeros((2, 3, 4), bool))
    assert (cube.rows, cube.columns) == (2, None)


# ---- sparse ----------------------------------------------------------------------------------------
FORMATS = ["csr", "csc", "coo", "bsr", "dok", "lil", "dia"]


@given(
    npst.arrays("float64", (4, 6), elements=st.sampled_from([0.0, 0.0, 1.0, -2.5])),
)
def test_all_formats_of_a_matrix_agree(dense):
    made = [sp.coo_array(dense).asformat(name) for name in FORMATS]
    made += [sp.coo_matrix(dense).asformat(name) for name in FORMATS]
    assert len({digest(matrix) for matrix in made}) == 1


def test_duplicates_and_zeros_are_no_content_and_the_matrix_stays_as_it_is():
    tidy = sp.csr_array(np.array([[0.0, 3.0], [4.0, 0.0]]))
    parts = (np.array([1.0, 2.0, 4.0, 0.0]), np.array([1, 1, 0, 1]), np.array([0, 2, 4]))
    untidy = sp.csr_array(parts, shape=(2, 2))
    assert digest(untidy) == digest(tidy)
    assert untidy.nnz == 4
    assert untidy.indices.tolist() == [1, 1, 0, 1]
    unsorted = sp.csr_array((np.array([2.0, 1.0]), np.array([1, 0]), np.array([0, 2])), (1, 2))
    assert digest(unsorted) == digest(sp.csr_array(np.array([[1.0, 2.0]])))
    assert unsorted.indices.tolist() == [1, 0]


def test_sparse_type_shape_and_elements_are_content():
    base = sp.csr_array(np.array([[0.0, 3.0], [4.0, 0.0]]))
    others = [
        base.astype("float32"),
        base.T,
        sp.csr_array(np.array([[0.0, 3.0, 0.0], [4.0, 0.0, 0.0]])),
        sp.csr_array(np.array([[0.0, 3.0], [5.0, 0.0]])),
        sp.csr_array((2, 2)),
    ]
    assert len({digest(matrix) for matrix in [base, *others]}) == 1 + len(others)
    described = describe(base)
    assert described.description == "SciPy sparse matrix, float64, 2 x 2"
    assert described.size_bytes == 8 * (3 + 2 + 2)


def test_sparse_arrays_of_other_dimensions_are_refused():
    with pytest.raises(CaptureError, match=r"of shape \(3,\) is not a matrix; reshape it"):
        describe(sp.coo_array(np.array([1.0, 0.0, 2.0])))
