"""Reads pickles from strangers without running anything that they name.

A pickle is a program. Python's own reader runs it, and a hostile one can call any function. `read_pickle` is
an interpreter for the few harmless operations that well-formed data files and checkpoints consist of. Where
such a file names a class or a function, it gets a stand-in of this project; any other name is refused. No way
leads from the bytes to a function of Python, NumPy or PyTorch. Lengths are compared with the bytes that are
there before anything is allocated, and the number of operations is bounded: with it, memory and time are.
"""

import os
import pickletools
import stat
import struct

from common.errors import UserError, one_line

MAX_OPERATIONS = 50_000  # a released file has about 150
MAX_TEXT = 1 << 20  # bytes of one string; longer ones stay undecoded (`LongText`)

PROTOCOL_2 = {
    "PROTO", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1",
    "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3",
    "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS",
    "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "GLOBAL", "REDUCE", "BUILD",
}  # fmt: skip
PROTOCOL_5 = PROTOCOL_2 | {
    "BINSTRING", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8", "SHORT_BINUNICODE", "BINUNICODE8",
    "FRAME", "MEMOIZE", "STACK_GLOBAL",
}  # fmt: skip
KEYS = (str, bytes, int, float, bool, type(None))  # of dictionaries
OBJECTS = {"NEWOBJ", "NEWOBJ_EX", "EMPTY_SET", "ADDITEMS", "FROZENSET"}  # which are `Unknown`
AGAIN = "copy it again from its source"  # what helps where bytes are missing or others
_OPERATIONS = {ord(operation.code): operation for operation in pickletools.opcodes}
_LENGTH_BYTES = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}


class Refused(Exception):
    """Why a file is not read: one clause that can follow "is refused: ", and what to do, where that is known."""

    def __init__(self, reason, advice=None):
        super().__init__(reason)
        self.advice = advice


class Callee:
    """Stands for an allowed function; `function` is one of this project. Nothing else can be called."""

    def __init__(self, function):
        self.function = function


class StandIn:
    """Base of the objects that may receive a pickled state, through `build(state)`."""


class Unknown:
    """What a name stands for that is not part of the format, and everything that is made of it: inert."""

    def __init__(self, name):
        self.name = name


class LongText:
    """UTF-8 bytes of a string above MAX_TEXT. Python 3 pickles arrays as such strings under protocol 2."""

    def __init__(self, view):
        self.view = view


class OrderedDict(dict, StandIn):
    """Stands for collections.OrderedDict, whose attributes are dropped."""

    def build(self, state):
        if type(state) is not dict:
            raise TypeError


def read_pickle(data, start, names, operations=PROTOCOL_2, persistent=None, limit=MAX_OPERATIONS):
    """Interprets the pickle that begins at `start` in `data` (bytes); returns (value, position after it).

    names: {(module, name): what stands for it}, the whole set of allowed names, unless OBJECTS are among the
    operations: then others are `Unknown`.
    operations: the allowed ones, by their names in pickletools. limit: how many of them.
    persistent: turns a persistent id into a value.
    Byte strings above 256 bytes come as memoryviews into `data`. The value can refer to one part many times,
    even to itself. Raises Refused.
    """
    try:
        return _interpret(data, start, names, operations, persistent, limit)
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, struct.error):
        raise Refused("its pickle is damaged", AGAIN) from None


def _interpret(data, start, names, operations, persistent, limit):
    lenient = operations >= OBJECTS
    at = start
    stack, outer, memo = [], [], {}  # `outer` holds the stacks below each open MARK

    def pop(count):
        if count > len(stack):
            raise IndexError
        values = tuple(stack[len(stack) - count :])
        del stack[len(stack) - count :]
        return values

    for _ in range(limit):
        if at >= len(data):
            raise Refused("it ends too early", AGAIN)
        operation = _OPERATIONS.get(data[at])
        if operation is None or operation.name not in operations:
            raise Refused(f"its pickle holds the operation {operation.name if operation else hex(data[at])}")
        argument, at = _argument(operation, data, at + 1)
        match operation.name:
            case "PROTO":
                if not 2 <= argument[0] <= 5:
                    raise Refused(f"its pickle has protocol {argument[0]}")
            case "FRAME":
                if int.from_bytes(argument, "little") > len(data) - at:
                    raise Refused("it ends too early", AGAIN)
            case "STOP":
                (value,) = stack  # ValueError if anything else is left
                if outer:
                    raise ValueError
                return value, at
            case "MARK":
                outer.append(stack)
                stack = []
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(operation.name == "NEWTRUE")
            case "BININT1" | "BININT2":
                stack.append(int.from_bytes(argument, "little"))
            case "BININT" | "LONG1":
                if len(argument) > 32:
                    raise Refused(f"its pickle holds an integer of {len(argument)} bytes")
                stack.append(int.from_bytes(argument, "little", signed=True))
            case "BINFLOAT":
                stack.append(struct.unpack(">d", argument)[0])
            case "BINUNICODE" | "SHORT_BINUNICODE" | "BINUNICODE8":
                is_long = len(argument) > MAX_TEXT
                stack.append(LongText(argument) if is_long else str(argument, "utf-8", "surrogatepass"))
            case "SHORT_BINSTRING" | "BINSTRING" | "SHORT_BINBYTES" | "BINBYTES" | "BINBYTES8" | "BYTEARRAY8":
                stack.append(argument if len(argument) > 256 else bytes(argument))
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(pop(int(operation.name[-1])))
            case "TUPLE" | "APPENDS" | "SETITEMS":
                values, stack = stack, outer.pop()
                if operation.name == "TUPLE":
                    stack.append(tuple(values))
                elif operation.name == "APPENDS":
                    _extend(stack[-1], values)
                else:
                    set_items(stack[-1], values, lenient)
            case "EMPTY_LIST":
                stack.append([])
            case "APPEND":
                _extend(stack[-2], pop(1))
            case "EMPTY_DICT":
                stack.append({})
            case "SETITEM":
                set_items(stack[-3], pop(2), lenient)
            case "BINPUT" | "LONG_BINPUT":
                memo[int.from_bytes(argument, "little")] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[int.from_bytes(argument, "little")])
            case "GLOBAL":
                stack.append(_look_up(names, lenient, *str(argument, "utf-8").split("\n")))
            case "STACK_GLOBAL":
                stack.append(_look_up(names, lenient, *pop(2)))
            case "REDUCE":
                callee, arguments = pop(2)
                if type(callee) not in (Callee, Unknown) or type(arguments) is not tuple:
                    raise Refused(f"it calls {getattr(callee, 'name', 'something')}, no function of the format")
                stack.append(callee if type(callee) is Unknown else callee.function(*arguments))
            case "NEWOBJ" | "NEWOBJ_EX":
                made_of, *_ = pop(2 if operation.name == "NEWOBJ" else 3)
                if type(made_of) is not Unknown:
                    raise Refused(f"it makes an object of something that is no class ({operation.name})")
                stack.append(made_of)
            case "EMPTY_SET":
                stack.append(Unknown("set"))
            case "ADDITEMS":
                stack = outer.pop()
                if type(stack[-1]) is not Unknown:
                    raise TypeError
            case "FROZENSET":
                stack = outer.pop()
                stack.append(Unknown("frozenset"))
            case "BUILD":
                (state,) = pop(1)
                if not isinstance(stack[-1], StandIn | Unknown):
                    raise Refused("it sets the state of something that has none")
                if type(stack[-1]) is not Unknown:
                    stack[-1].build(state)
            case "BINPERSID":
                stack.append(persistent(*pop(1)))
    raise Refused(f"its pickle has more than {limit} operations")


def _argument(operation, data, at):
    """The argument's bytes as a memoryview, and the position after them."""
    length = operation.arg.n if operation.arg else 0
    if length == pickletools.UP_TO_NEWLINE:  # GLOBAL alone: two lines
        end = data.index(b"\n", data.index(b"\n", at, at + 200) + 1, at + 400)
        return memoryview(data)[at:end], end + 1
    if length in _LENGTH_BYTES:
        width = _LENGTH_BYTES[length]
        at, length = at + width, int.from_bytes(data[at : at + width], "little")
    if length > len(data) - at:
        raise Refused("it ends too early", AGAIN)
    return memoryview(data)[at : at + length], at + length


# Exact types are checked before any comparison or hash: on nested tuples these take exponential time.


def _look_up(names, lenient, module, name):
    if type(module) is not str or type(name) is not str:
        raise TypeError
    if (module, name) in names:
        return names[module, name]
    shown = one_line(f"{module}.{name}")[:80]
    if lenient:
        return Unknown(shown)
    raise Refused(f"it asks for {shown}, which is not part of the format")


def _extend(target, values):
    if type(target) is list:
        target.extend(values)
    elif type(target) is not Unknown:
        raise TypeError


def ordered_dict(pairs=()):
    """What stands in for collections.OrderedDict: Python 2 pickled the pairs as an argument, Python 3 sets each."""
    result = OrderedDict()
    for pair in pairs:
        set_items(result, pair)
    return result


def set_items(target, values, lenient=False):
    """Puts `values` (key, value, key, value, ...) into a dict of the interpreter; `lenient`: as of `read_pickle`."""
    if type(target) not in (dict, OrderedDict, Unknown) or len(values) % 2:
        raise TypeError
    if type(target) is Unknown:
        return
    for key, value in zip(values[::2], values[1::2], strict=True):
        if lenient and type(key) is Unknown:  # the whole entry is left out
            continue
        if not (type(key) in KEYS or (lenient and type(key) is tuple and all(type(k) in KEYS for k in key))):
            raise Refused("a key of a dictionary in it is neither text nor a number")
        if key in target:
            raise Refused(f"its key {one_line(key)[:40]} comes twice")
        target[key] = value


def read_whole(path, limit, kind):
    """The bytes of a regular file of at most `limit` bytes. `kind` is the noun for it in the UserError."""
    where = f"{kind} {one_line(path)}"
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise UserError(f"{where} is a folder; name the file itself")
        if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device might never end
            raise UserError(f"{where} is not a regular file; name a file on disk")
        if status.st_size > limit:
            raise UserError(f"{where} has more than {limit >> 20} MB, too much for one; name another file")
        if status.st_size == 0:
            raise UserError(f"{where} is empty; {AGAIN}")
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise UserError(f"{where} does not exist; check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or "not a valid path"
        raise UserError(f"{where} cannot be read ({reason}); check the path and its permissions") from None
