"""Values to payloads and back, each kind as the contest's package writes it."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from tests.kaggle_double.messages import Payload, PayloadList, PayloadMap


def encode(value: Any) -> Any:
    """Return the payload of a value.

    Raises:
        TypeError: values of its type are not sent.
    """
    if isinstance(value, np.generic):
        return Payload(numpy_scalar_value=_saved(value))
    for kinds, encoder in _ENCODERS:
        if isinstance(value, kinds):
            return Payload(**encoder(value))
    raise TypeError(f"a value of type {type(value)}: the gateway does not take it")


def decode(payload: Any) -> Any:
    """Return the value of a payload.

    Raises:
        TypeError: it holds none.
    """
    kind = payload.WhichOneof("value")
    if kind not in _DECODERS:
        raise TypeError(f"a payload of kind {kind}")
    return _DECODERS[kind](getattr(payload, kind))


def _saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, value, allow_pickle=False)
    return buffer.getvalue()


def _loaded(data: bytes) -> Any:
    return np.load(io.BytesIO(data), allow_pickle=False)


def _pandas_bytes(frame: "pd.DataFrame | pd.Series[Any]") -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame(frame).to_parquet(buffer, index=False, compression="lz4")
    return buffer.getvalue()


def _polars_bytes(frame: pl.DataFrame) -> bytes:
    table = frame.to_arrow()
    buffer = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_stream(buffer, table.schema, options=options) as writer:
        writer.write_table(table)
    return buffer.getvalue()


def _polars_series_bytes(series: pl.Series) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame(series).write_parquet(buffer, compression="lz4", statistics=False)
    return buffer.getvalue()


def _polars_frame(data: bytes) -> Any:
    with pa.ipc.open_stream(io.BytesIO(data)) as reader:
        return pl.from_arrow(reader.read_all())


def _pandas_series(data: bytes) -> Any:
    return pd.read_parquet(io.BytesIO(data)).iloc[:, 0]


def _polars_series(data: bytes) -> pl.Series:
    return pl.read_parquet(io.BytesIO(data)).to_series()


_ENCODERS: tuple[tuple[type | tuple[type, ...], Callable[[Any], dict[str, Any]]], ...] = (
    (str, lambda value: {"str_value": value}),
    (bool, lambda value: {"bool_value": value}),
    (int, lambda value: {"int_value": value}),
    (float, lambda value: {"float_value": value}),
    (type(None), lambda _value: {"none_value": True}),
    (list, lambda value: {"list_value": PayloadList(payloads=map(encode, value))}),
    (tuple, lambda value: {"tuple_value": PayloadList(payloads=map(encode, value))}),
    (
        dict,
        lambda value: {
            "dict_value": PayloadMap(payload_map={key: encode(each) for key, each in value.items()})
        },
    ),
    (pd.DataFrame, lambda value: {"pandas_dataframe_value": _pandas_bytes(value)}),
    (pl.DataFrame, lambda value: {"polars_dataframe_value": _polars_bytes(value)}),
    (pd.Series, lambda value: {"pandas_series_value": _pandas_bytes(value)}),
    (pl.Series, lambda value: {"polars_series_value": _polars_series_bytes(value)}),
    (np.ndarray, lambda value: {"numpy_array_value": _saved(value)}),
    (io.BytesIO, lambda value: {"bytes_io_value": value.getvalue()}),
)
_DECODERS: dict[str, Callable[[Any], Any]] = {
    "str_value": lambda value: value,
    "bool_value": lambda value: value,
    "int_value": lambda value: value,
    "float_value": lambda value: value,
    "none_value": lambda _value: None,
    "list_value": lambda value: [decode(each) for each in value.payloads],
    "tuple_value": lambda value: tuple(decode(each) for each in value.payloads),
    "dict_value": lambda value: {key: decode(each) for key, each in value.payload_map.items()},
    "pandas_dataframe_value": lambda value: pd.read_parquet(io.BytesIO(value)),
    "polars_dataframe_value": _polars_frame,
    "pandas_series_value": _pandas_series,
    "polars_series_value": _polars_series,
    "numpy_array_value": _loaded,
    "numpy_scalar_value": lambda value: _loaded(value)[()],
    "bytes_io_value": io.BytesIO,
}
