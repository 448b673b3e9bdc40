"""The protobuf messages of the contest's service, built at run time: no generated files."""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "kaggle_evaluation_client"
SERVICE = f"{PACKAGE}.KaggleEvaluationService"
METHOD = "Send"

_Field = descriptor_pb2.FieldDescriptorProto
#: The fields of a payload's oneof: name, number, protobuf type, and the message where it is one.
_VALUES = (
    ("str_value", 1, _Field.TYPE_STRING, ""),
    ("bool_value", 2, _Field.TYPE_BOOL, ""),
    ("int_value", 3, _Field.TYPE_SINT64, ""),
    ("float_value", 4, _Field.TYPE_FLOAT, ""),
    ("none_value", 5, _Field.TYPE_BOOL, ""),
    ("list_value", 6, _Field.TYPE_MESSAGE, "PayloadList"),
    ("tuple_value", 7, _Field.TYPE_MESSAGE, "PayloadList"),
    ("dict_value", 8, _Field.TYPE_MESSAGE, "PayloadMap"),
    ("pandas_dataframe_value", 9, _Field.TYPE_BYTES, ""),
    ("polars_dataframe_value", 10, _Field.TYPE_BYTES, ""),
    ("pandas_series_value", 11, _Field.TYPE_BYTES, ""),
    ("polars_series_value", 12, _Field.TYPE_BYTES, ""),
    ("numpy_array_value", 13, _Field.TYPE_BYTES, ""),
    ("numpy_scalar_value", 14, _Field.TYPE_BYTES, ""),
    ("bytes_io_value", 15, _Field.TYPE_BYTES, ""),
)


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="kaggle_double.proto", package=PACKAGE, syntax="proto3"
    )
    payload = file.message_type.add(name="Payload")
    payload.oneof_decl.add(name="value")
    for name, number, kind, message in _VALUES:
        entry = payload.field.add(
            name=name, number=number, type=kind, label=_Field.LABEL_OPTIONAL, oneof_index=0
        )
        if message:
            entry.type_name = f".{PACKAGE}.{message}"
    _add_repeated(file.message_type.add(name="PayloadList"), "payloads", 1)
    _add_map(file.message_type.add(name="PayloadMap"), "payload_map", 1)
    request = file.message_type.add(name="KaggleEvaluationRequest")
    request.field.add(name="name", number=1, type=_Field.TYPE_STRING, label=_Field.LABEL_OPTIONAL)
    _add_repeated(request, "args", 2)
    _add_map(request, "kwargs", 3)
    reply = file.message_type.add(name="KaggleEvaluationResponse")
    _add_payload(reply, "payload", 1, _Field.LABEL_OPTIONAL)
    return file


def _add_payload(
    message: descriptor_pb2.DescriptorProto, name: str, number: int, label: Any
) -> None:
    message.field.add(
        name=name,
        number=number,
        type=_Field.TYPE_MESSAGE,
        label=label,
        type_name=f".{PACKAGE}.Payload",
    )


def _add_repeated(message: descriptor_pb2.DescriptorProto, name: str, number: int) -> None:
    _add_payload(message, name, number, _Field.LABEL_REPEATED)


def _add_map(message: descriptor_pb2.DescriptorProto, name: str, number: int) -> None:
    """Add a map from strings to payloads: on the wire, repeated messages of key and value."""
    entry_name = "".join(part.title() for part in name.split("_")) + "Entry"
    entry = message.nested_type.add(name=entry_name)
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=_Field.TYPE_STRING, label=_Field.LABEL_OPTIONAL)
    _add_payload(entry, "value", 2, _Field.LABEL_OPTIONAL)
    message.field.add(
        name=name,
        number=number,
        type=_Field.TYPE_MESSAGE,
        label=_Field.LABEL_REPEATED,
        type_name=f".{PACKAGE}.{message.name}.{entry_name}",
    )


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_file())


def _message(name: str) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{PACKAGE}.{name}"))


Payload: Any = _message("Payload")
PayloadList: Any = _message("PayloadList")
PayloadMap: Any = _message("PayloadMap")
Request: Any = _message("KaggleEvaluationRequest")
Response: Any = _message("KaggleEvaluationResponse")
