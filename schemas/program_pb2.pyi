from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Program(_message.Message):
    __slots__ = ("strings", "sizes", "types", "literals", "op_names", "op_versions", "place_files", "place_lines", "place_scopes", "place_gradients", "where_lengths", "where_places", "attribute_sets", "graphs", "state", "functions")
    STRINGS_FIELD_NUMBER: _ClassVar[int]
    SIZES_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    LITERALS_FIELD_NUMBER: _ClassVar[int]
    OP_NAMES_FIELD_NUMBER: _ClassVar[int]
    OP_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    PLACE_FILES_FIELD_NUMBER: _ClassVar[int]
    PLACE_LINES_FIELD_NUMBER: _ClassVar[int]
    PLACE_SCOPES_FIELD_NUMBER: _ClassVar[int]
    PLACE_GRADIENTS_FIELD_NUMBER: _ClassVar[int]
    WHERE_LENGTHS_FIELD_NUMBER: _ClassVar[int]
    WHERE_PLACES_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTE_SETS_FIELD_NUMBER: _ClassVar[int]
    GRAPHS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    FUNCTIONS_FIELD_NUMBER: _ClassVar[int]
    strings: _containers.RepeatedScalarFieldContainer[str]
    sizes: _containers.RepeatedCompositeFieldContainer[Size]
    types: _containers.RepeatedCompositeFieldContainer[Type]
    literals: _containers.RepeatedCompositeFieldContainer[StoredLiteral]
    op_names: _containers.RepeatedScalarFieldContainer[int]
    op_versions: _containers.RepeatedScalarFieldContainer[int]
    place_files: _containers.RepeatedScalarFieldContainer[int]
    place_lines: _containers.RepeatedScalarFieldContainer[int]
    place_scopes: _containers.RepeatedScalarFieldContainer[int]
    place_gradients: _containers.RepeatedScalarFieldContainer[bool]
    where_lengths: _containers.RepeatedScalarFieldContainer[int]
    where_places: _containers.RepeatedScalarFieldContainer[int]
    attribute_sets: _containers.RepeatedCompositeFieldContainer[AttributeSet]
    graphs: _containers.RepeatedCompositeFieldContainer[Graph]
    state: _containers.RepeatedCompositeFieldContainer[State]
    functions: _containers.RepeatedCompositeFieldContainer[Function]
    def __init__(self, strings: _Optional[_Iterable[str]] = ..., sizes: _Optional[_Iterable[_Union[Size, _Mapping]]] = ..., types: _Optional[_Iterable[_Union[Type, _Mapping]]] = ..., literals: _Optional[_Iterable[_Union[StoredLiteral, _Mapping]]] = ..., op_names: _Optional[_Iterable[int]] = ..., op_versions: _Optional[_Iterable[int]] = ..., place_files: _Optional[_Iterable[int]] = ..., place_lines: _Optional[_Iterable[int]] = ..., place_scopes: _Optional[_Iterable[int]] = ..., place_gradients: _Optional[_Iterable[bool]] = ..., where_lengths: _Optional[_Iterable[int]] = ..., where_places: _Optional[_Iterable[int]] = ..., attribute_sets: _Optional[_Iterable[_Union[AttributeSet, _Mapping]]] = ..., graphs: _Optional[_Iterable[_Union[Graph, _Mapping]]] = ..., state: _Optional[_Iterable[_Union[State, _Mapping]]] = ..., functions: _Optional[_Iterable[_Union[Function, _Mapping]]] = ...) -> None: ...

class Size(_message.Message):
    __slots__ = ("constant", "symbol", "quotient", "polynomial")
    CONSTANT_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_FIELD_NUMBER: _ClassVar[int]
    QUOTIENT_FIELD_NUMBER: _ClassVar[int]
    POLYNOMIAL_FIELD_NUMBER: _ClassVar[int]
    constant: int
    symbol: Symbol
    quotient: Quotient
    polynomial: Polynomial
    def __init__(self, constant: _Optional[int] = ..., symbol: _Optional[_Union[Symbol, _Mapping]] = ..., quotient: _Optional[_Union[Quotient, _Mapping]] = ..., polynomial: _Optional[_Union[Polynomial, _Mapping]] = ...) -> None: ...

class Symbol(_message.Message):
    __slots__ = ("name", "low", "high")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    name: int
    low: int
    high: int
    def __init__(self, name: _Optional[int] = ..., low: _Optional[int] = ..., high: _Optional[int] = ...) -> None: ...

class Quotient(_message.Message):
    __slots__ = ("kind", "left", "right")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        FLOOR_DIVISION: _ClassVar[Quotient.Kind]
        MODULO: _ClassVar[Quotient.Kind]
        MINIMUM: _ClassVar[Quotient.Kind]
        MAXIMUM: _ClassVar[Quotient.Kind]
    FLOOR_DIVISION: Quotient.Kind
    MODULO: Quotient.Kind
    MINIMUM: Quotient.Kind
    MAXIMUM: Quotient.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    kind: Quotient.Kind
    left: int
    right: int
    def __init__(self, kind: _Optional[_Union[Quotient.Kind, str]] = ..., left: _Optional[int] = ..., right: _Optional[int] = ...) -> None: ...

class Polynomial(_message.Message):
    __slots__ = ("coefficients", "degrees", "atoms")
    COEFFICIENTS_FIELD_NUMBER: _ClassVar[int]
    DEGREES_FIELD_NUMBER: _ClassVar[int]
    ATOMS_FIELD_NUMBER: _ClassVar[int]
    coefficients: _containers.RepeatedScalarFieldContainer[int]
    degrees: _containers.RepeatedScalarFieldContainer[int]
    atoms: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, coefficients: _Optional[_Iterable[int]] = ..., degrees: _Optional[_Iterable[int]] = ..., atoms: _Optional[_Iterable[int]] = ...) -> None: ...

class Type(_message.Message):
    __slots__ = ("dtype", "shape")
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    dtype: int
    shape: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, dtype: _Optional[int] = ..., shape: _Optional[_Iterable[int]] = ...) -> None: ...

class StoredLiteral(_message.Message):
    __slots__ = ("type", "digest")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    type: int
    digest: bytes
    def __init__(self, type: _Optional[int] = ..., digest: _Optional[bytes] = ...) -> None: ...

class InlineLiteral(_message.Message):
    __slots__ = ("type", "data")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    type: int
    data: bytes
    def __init__(self, type: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class AttributeSet(_message.Message):
    __slots__ = ("names", "values")
    NAMES_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[int]
    values: _containers.RepeatedCompositeFieldContainer[Attribute]
    def __init__(self, names: _Optional[_Iterable[int]] = ..., values: _Optional[_Iterable[_Union[Attribute, _Mapping]]] = ...) -> None: ...

class Attribute(_message.Message):
    __slots__ = ("none", "boolean", "integer", "number", "text", "dtype", "size", "literal", "stored_literal", "graph", "integers", "items")
    NONE_FIELD_NUMBER: _ClassVar[int]
    BOOLEAN_FIELD_NUMBER: _ClassVar[int]
    INTEGER_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    LITERAL_FIELD_NUMBER: _ClassVar[int]
    STORED_LITERAL_FIELD_NUMBER: _ClassVar[int]
    GRAPH_FIELD_NUMBER: _ClassVar[int]
    INTEGERS_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    none: bool
    boolean: bool
    integer: int
    number: int
    text: int
    dtype: int
    size: int
    literal: InlineLiteral
    stored_literal: int
    graph: int
    integers: Integers
    items: Items
    def __init__(self, none: bool = ..., boolean: bool = ..., integer: _Optional[int] = ..., number: _Optional[int] = ..., text: _Optional[int] = ..., dtype: _Optional[int] = ..., size: _Optional[int] = ..., literal: _Optional[_Union[InlineLiteral, _Mapping]] = ..., stored_literal: _Optional[int] = ..., graph: _Optional[int] = ..., integers: _Optional[_Union[Integers, _Mapping]] = ..., items: _Optional[_Union[Items, _Mapping]] = ...) -> None: ...

class Integers(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, values: _Optional[_Iterable[int]] = ...) -> None: ...

class Items(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[Attribute]
    def __init__(self, values: _Optional[_Iterable[_Union[Attribute, _Mapping]]] = ...) -> None: ...

class Graph(_message.Message):
    __slots__ = ("input_types", "ops", "attributes", "wheres", "operand_counts", "operands", "result_counts", "result_types", "outputs", "constraints")
    INPUT_TYPES_FIELD_NUMBER: _ClassVar[int]
    OPS_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    WHERES_FIELD_NUMBER: _ClassVar[int]
    OPERAND_COUNTS_FIELD_NUMBER: _ClassVar[int]
    OPERANDS_FIELD_NUMBER: _ClassVar[int]
    RESULT_COUNTS_FIELD_NUMBER: _ClassVar[int]
    RESULT_TYPES_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    CONSTRAINTS_FIELD_NUMBER: _ClassVar[int]
    input_types: _containers.RepeatedScalarFieldContainer[int]
    ops: _containers.RepeatedScalarFieldContainer[int]
    attributes: _containers.RepeatedScalarFieldContainer[int]
    wheres: _containers.RepeatedScalarFieldContainer[int]
    operand_counts: _containers.RepeatedScalarFieldContainer[int]
    operands: _containers.RepeatedScalarFieldContainer[int]
    result_counts: _containers.RepeatedScalarFieldContainer[int]
    result_types: _containers.RepeatedScalarFieldContainer[int]
    outputs: _containers.RepeatedScalarFieldContainer[int]
    constraints: _containers.RepeatedCompositeFieldContainer[Constraint]
    def __init__(self, input_types: _Optional[_Iterable[int]] = ..., ops: _Optional[_Iterable[int]] = ..., attributes: _Optional[_Iterable[int]] = ..., wheres: _Optional[_Iterable[int]] = ..., operand_counts: _Optional[_Iterable[int]] = ..., operands: _Optional[_Iterable[int]] = ..., result_counts: _Optional[_Iterable[int]] = ..., result_types: _Optional[_Iterable[int]] = ..., outputs: _Optional[_Iterable[int]] = ..., constraints: _Optional[_Iterable[_Union[Constraint, _Mapping]]] = ...) -> None: ...

class Constraint(_message.Message):
    __slots__ = ("left", "relation", "right", "where")
    class Relation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        EQUAL: _ClassVar[Constraint.Relation]
        AT_MOST: _ClassVar[Constraint.Relation]
        LESS: _ClassVar[Constraint.Relation]
    EQUAL: Constraint.Relation
    AT_MOST: Constraint.Relation
    LESS: Constraint.Relation
    LEFT_FIELD_NUMBER: _ClassVar[int]
    RELATION_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    WHERE_FIELD_NUMBER: _ClassVar[int]
    left: int
    relation: Constraint.Relation
    right: int
    where: int
    def __init__(self, left: _Optional[int] = ..., relation: _Optional[_Union[Constraint.Relation, str]] = ..., right: _Optional[int] = ..., where: _Optional[int] = ...) -> None: ...

class State(_message.Message):
    __slots__ = ("names", "type", "kind")
    NAMES_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[int]
    type: int
    kind: int
    def __init__(self, names: _Optional[_Iterable[int]] = ..., type: _Optional[int] = ..., kind: _Optional[int] = ...) -> None: ...

class Function(_message.Message):
    __slots__ = ("name", "graph", "arguments", "results", "reads", "updates", "parameters", "input_structure", "output_structure", "training_modules", "training_flags")
    NAME_FIELD_NUMBER: _ClassVar[int]
    GRAPH_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    READS_FIELD_NUMBER: _ClassVar[int]
    UPDATES_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    INPUT_STRUCTURE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_STRUCTURE_FIELD_NUMBER: _ClassVar[int]
    TRAINING_MODULES_FIELD_NUMBER: _ClassVar[int]
    TRAINING_FLAGS_FIELD_NUMBER: _ClassVar[int]
    name: int
    graph: int
    arguments: _containers.RepeatedScalarFieldContainer[int]
    results: _containers.RepeatedScalarFieldContainer[int]
    reads: _containers.RepeatedScalarFieldContainer[int]
    updates: _containers.RepeatedScalarFieldContainer[int]
    parameters: _containers.RepeatedScalarFieldContainer[int]
    input_structure: Structure
    output_structure: Structure
    training_modules: _containers.RepeatedScalarFieldContainer[int]
    training_flags: _containers.RepeatedScalarFieldContainer[bool]
    def __init__(self, name: _Optional[int] = ..., graph: _Optional[int] = ..., arguments: _Optional[_Iterable[int]] = ..., results: _Optional[_Iterable[int]] = ..., reads: _Optional[_Iterable[int]] = ..., updates: _Optional[_Iterable[int]] = ..., parameters: _Optional[_Iterable[int]] = ..., input_structure: _Optional[_Union[Structure, _Mapping]] = ..., output_structure: _Optional[_Union[Structure, _Mapping]] = ..., training_modules: _Optional[_Iterable[int]] = ..., training_flags: _Optional[_Iterable[bool]] = ...) -> None: ...

class Structure(_message.Message):
    __slots__ = ("kind", "keys", "parts")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        LEAF: _ClassVar[Structure.Kind]
        NONE: _ClassVar[Structure.Kind]
        TUPLE: _ClassVar[Structure.Kind]
        LIST: _ClassVar[Structure.Kind]
        DICT: _ClassVar[Structure.Kind]
    LEAF: Structure.Kind
    NONE: Structure.Kind
    TUPLE: Structure.Kind
    LIST: Structure.Kind
    DICT: Structure.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    kind: Structure.Kind
    keys: _containers.RepeatedScalarFieldContainer[int]
    parts: _containers.RepeatedCompositeFieldContainer[Structure]
    def __init__(self, kind: _Optional[_Union[Structure.Kind, str]] = ..., keys: _Optional[_Iterable[int]] = ..., parts: _Optional[_Iterable[_Union[Structure, _Mapping]]] = ...) -> None: ...

class About(_message.Message):
    __slots__ = ("producer", "metadata")
    PRODUCER_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    producer: str
    metadata: _containers.RepeatedCompositeFieldContainer[Metadata]
    def __init__(self, producer: _Optional[str] = ..., metadata: _Optional[_Iterable[_Union[Metadata, _Mapping]]] = ...) -> None: ...

class Metadata(_message.Message):
    __slots__ = ("key", "text", "integer", "number", "flag")
    KEY_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    INTEGER_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    FLAG_FIELD_NUMBER: _ClassVar[int]
    key: str
    text: str
    integer: int
    number: int
    flag: bool
    def __init__(self, key: _Optional[str] = ..., text: _Optional[str] = ..., integer: _Optional[int] = ..., number: _Optional[int] = ..., flag: bool = ...) -> None: ...
