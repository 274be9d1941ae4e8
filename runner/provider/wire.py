"""Terraform's plugin protocol 6: its messages and its values.

Written from the numbers of the fields in HashiCorp's ``tfplugin6.proto``, as far as a provider needs them; there is no
generated code, so that any protobuf runtime will do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgpack
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FIELDS = """
DynamicValue: msgpack=1 bytes, json=2 bytes
Step: attribute_name=1 string @selector, element_key_string=2 string @selector, element_key_int=3 int64 @selector
AttributePath: steps=1 *Step
Diagnostic: severity=1 int32, summary=2 string, detail=3 string, attribute=4 AttributePath
RawState: json=1 bytes
ObjectType: attributes=1 *Attribute, nesting=3 int32
Attribute: name=1 string, type=2 bytes, nested_type=10 ObjectType, description=3 string, required=4 bool, \
 optional=5 bool, computed=6 bool, sensitive=7 bool, description_kind=8 int32, deprecated=9 bool, write_only=11 bool
Block: version=1 int64, attributes=2 *Attribute, description=4 string
Schema: version=1 int64, block=2 Block
Capabilities: plan_destroy=1 bool, get_provider_schema_optional=2 bool, move_resource_state=3 bool
Empty:
TypeName: type_name=1 string
MetadataAnswer: server_capabilities=1 Capabilities, diagnostics=2 *Diagnostic, data_sources=3 *TypeName, \
 resources=4 *TypeName
SchemaAnswer: provider=1 Schema, resource_schemas=2 {Schema}, data_source_schemas=3 {Schema}, \
 diagnostics=4 *Diagnostic, provider_meta=5 Schema, server_capabilities=6 Capabilities
ProviderConfig: config=1 DynamicValue
TypedConfig: type_name=1 string, config=2 DynamicValue
Configure: terraform_version=1 string, config=2 DynamicValue
DiagnosticsAt1: diagnostics=1 *Diagnostic
DiagnosticsAt2: diagnostics=2 *Diagnostic
Upgrade: type_name=1 string, version=2 int64, raw_state=3 RawState
UpgradeAnswer: upgraded_state=1 DynamicValue, diagnostics=2 *Diagnostic
Read: type_name=1 string, current_state=2 DynamicValue, private=3 bytes
ReadAnswer: new_state=1 DynamicValue, diagnostics=2 *Diagnostic, private=3 bytes
Plan: type_name=1 string, prior_state=2 DynamicValue, proposed_new_state=3 DynamicValue, config=4 DynamicValue, \
 prior_private=5 bytes
PlanAnswer: planned_state=1 DynamicValue, requires_replace=2 *AttributePath, planned_private=3 bytes, \
 diagnostics=4 *Diagnostic
Apply: type_name=1 string, prior_state=2 DynamicValue, planned_state=3 DynamicValue, config=4 DynamicValue, \
 planned_private=5 bytes
ApplyAnswer: new_state=1 DynamicValue, private=2 bytes, diagnostics=3 *Diagnostic
Import: type_name=1 string, id=2 string
Imported: type_name=1 string, state=2 DynamicValue, private=3 bytes
ImportAnswer: imported_resources=1 *Imported, diagnostics=2 *Diagnostic
ReadData: type_name=1 string, config=2 DynamicValue
DataAnswer: state=1 DynamicValue, diagnostics=2 *Diagnostic
StopAnswer: Error=1 string
StdioData: channel=1 int32, data=2 bytes
"""
"""One message a line: ``name: field=number type``; ``*`` repeated, ``{}`` a map from strings, ``@`` one of."""

ERROR, WARNING = 1, 2
"""Severities of a diagnostic."""

_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bytes": _FIELD.TYPE_BYTES,
    "string": _FIELD.TYPE_STRING,
    "int64": _FIELD.TYPE_INT64,
    "int32": _FIELD.TYPE_INT32,
    "bool": _FIELD.TYPE_BOOL,
}
_PACKAGE = "douse.terraform"


class UnknownType:
    """The type of a value that is known after apply only."""

    def __repr__(self) -> str:
        """Return Terraform's name for it."""
        return "(known after apply)"

    def __bool__(self) -> bool:
        """Count as false, as ``None`` does."""
        return False


UNKNOWN: Final = UnknownType()


def unpack(value: Any) -> Any:
    """Return the value in a ``DynamicValue``; a number that a float cannot hold exactly comes as a string."""
    if value.json:
        return load_json(value.json)
    if not value.msgpack:
        return None
    # 0 is unknown, 12 is unknown with hints about the range
    return msgpack.unpackb(value.msgpack, ext_hook=lambda _code, _data: UNKNOWN, strict_map_key=False)


def load_json(text: bytes) -> Any:
    """Read the JSON of a state; fractions keep every digit, or Terraform would see a change where there is none."""
    return json.loads(text, parse_float=Decimal)


def pack(value: Any) -> Any:
    """Return a ``DynamicValue``; fractions go as decimal text, which is how Terraform itself keeps them."""
    return MESSAGES["DynamicValue"](msgpack=msgpack.packb(_plain(value), default=_extension))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float | Decimal):
        return str(Decimal(repr(value)) if isinstance(value, float) else value)
    return value


def _extension(value: Any) -> msgpack.ExtType:
    if value is UNKNOWN:
        return msgpack.ExtType(0, b"\0")
    raise TypeError(f"{type(value).__name__} is no value of Terraform's")


def _build_messages() -> Mapping[str, Any]:
    """Return a class for each message."""
    file = descriptor_pb2.FileDescriptorProto(name="douse_terraform.proto", package=_PACKAGE, syntax="proto3")
    for line in FIELDS.strip().splitlines():
        name, _, fields = line.partition(":")
        message = file.message_type.add(name=name)
        for field in filter(None, (part.strip() for part in fields.split(","))):
            _add_field(message, field)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        message.name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{message.name}"))
        for message in file.message_type
    }


def _add_field(message: descriptor_pb2.DescriptorProto, text: str) -> None:
    left, kind, *selector = text.split()
    name, _, number = left.partition("=")
    field = message.field.add(name=name, number=int(number), label=_FIELD.LABEL_OPTIONAL)
    if kind.startswith("*"):
        field.label, kind = _FIELD.LABEL_REPEATED, kind[1:]
    if kind.startswith("{"):
        field.label, field.type = _FIELD.LABEL_REPEATED, _FIELD.TYPE_MESSAGE
        field.type_name = _add_map_entry(message, name, kind[1:-1])
    elif kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    if selector:
        if not message.oneof_decl:
            message.oneof_decl.add(name=selector[0][1:])
        field.oneof_index = 0


def _add_map_entry(message: descriptor_pb2.DescriptorProto, field: str, kind: str) -> str:
    """Add the nested message that protobuf wants for a map; return its full name."""
    name = "".join(part.capitalize() for part in field.split("_")) + "Entry"
    entry = message.nested_type.add(name=name)
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL)
    entry.field.add(
        name="value",
        number=2,
        type=_FIELD.TYPE_MESSAGE,
        label=_FIELD.LABEL_OPTIONAL,
        type_name=f".{_PACKAGE}.{kind}",
    )
    return f".{_PACKAGE}.{message.name}.{name}"


MESSAGES: Final = _build_messages()
