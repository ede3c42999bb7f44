"""A model's reply → one call of a tool that is there, or what is wrong with it in words the model can act on.

Nothing is evaluated: JSON is read as JSON. Small faults are mended (fences, typographic quotes, commas too many, a missing end,
other names for the fields, a slip in a tool's name, arguments beside the field); everything else goes back to the model.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from medrag._util.text import shorten
from medrag.agent.state import Call
from medrag.cite import keys_in
from medrag.vlms._messages import spoken

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool
    from pydantic import ValidationError

CUT_SHORT = "your answer was cut off before its end; write a shorter one"
LONGEST = 8000  # characters of JSON that are read
RAW = 400  # characters of a reply that are kept for the trace
DEEPEST = 20  # levels of arguments
NAMES = ("tool", "name", "tool_name", "action", "function")
ARGS = ("args", "arguments", "parameters", "action_input", "input", "params")
THOUGHTS = ("thought", "thinking", "reason_why")
HOW = '. Reply with one JSON object: {"tool": NAME, "args": {…}}'  # of the text protocol
_SAID = re.compile(r"^\s*THOUGHT\s*:\s*(.+)$", re.IGNORECASE | re.MULTILINE)
_QUOTES = str.maketrans("“”„‟‘’", '""""\'\'')
_COMMA = re.compile(r",(\s*[}\]])")
_SINGLE = re.compile(r"(?<=[{\[:,\s])'((?:[^'\\\n]|\\.)*)'(?=\s*[}\]:,])")
_PYTHON = re.compile(r"(?<=[:\[,\s])(True|False|None)(?=\s*[}\],])")
_BARE = re.compile(r"([{,]\s*)([A-Za-z_]\w*)(\s*:)")


def parse_call(reply: str, tools: Mapping[str, BaseTool]) -> Call:
    """The first call in a reply; ``fault`` says what to mend where there is none. Never raises."""
    raw = shorten(unbroken(reply), RAW)
    text = "".join(spoken([reply]))
    start = text.find("{")
    if start < 0:
        if keys_in(text) and "answer" in tools:  # it answered without saying that this is the answer
            return checked(Call(name="answer", args={"text": text.strip()}, raw=raw), tools)
        return _fault("your reply holds no JSON object", tools, raw)
    value, cut = read_json(text[start : start + LONGEST])
    call = _call_in(value, tools)
    if call is None:
        return _fault("your JSON names no tool", tools, raw)
    said = _SAID.search(text[:start])
    name, args, thought = call
    thought = shorten(unbroken(thought or (said[1] if said else "")), RAW)
    made = checked(Call(name=name, args=args, thought=thought, raw=raw), tools)
    if cut and made.get("name") == "answer":
        return _fault(CUT_SHORT, tools, raw)
    return made


def native_call(name: str, arguments: str, tools: Mapping[str, BaseTool]) -> Call:
    """A call that the model made natively, its arguments as it wrote them; ``fault`` as in `parse_call`. Never raises."""
    raw = shorten(unbroken(f"{name}({arguments})"), RAW)
    args, cut = native_args(arguments)
    if args is None:
        return _fault(f"{shorten(unbroken(name), 60)}: the arguments are no JSON object", tools, raw)
    made = checked(Call(name=name, args=args, raw=raw), tools)
    return _fault(CUT_SHORT, tools, raw) if cut and made.get("name") == "answer" else made


def native_args(arguments: str) -> tuple[Any, bool]:
    """The arguments that a text holds (None: JSON that cannot be read), and whether their end was missing; a text that is no JSON is the one that is needed."""
    text = arguments.strip()
    if text in ("", "null"):
        return {}, False
    return read_json(text[:LONGEST]) if text[0] in '{["' else (text, False)


def checked(call: Call, tools: Mapping[str, BaseTool]) -> Call:
    """The call with its tool's own name and validated arguments, or with a fault in place of a name."""
    from pydantic import BaseModel, ValidationError

    name, raw = tool_name(str(call.get("name", "")), tools), call.get("raw", "")
    if not name:
        return _fault(f"there is no tool {shorten(unbroken(str(call.get('name', ''))), 60)!r}", tools, raw)
    schema: Any = tools[name].args_schema
    args = call.get("args", {})
    if _too_deep(args):
        return _fault(f"{name}: the arguments are nested too deeply", {name: tools[name]}, raw)
    if not (isinstance(schema, type) and issubclass(schema, BaseModel)):  # a tool of other make checks its own
        return _with(call, name, args if isinstance(args, dict) else {})
    try:
        value = schema.model_validate(_fitted(args, schema))
    except ValidationError as error:
        return _fault(f"{name}: {_problems(error)}", {name: tools[name]}, raw)
    return _with(call, name, value.model_dump(mode="json"))


def _with(call: Call, name: str, args: dict[str, Any]) -> Call:
    made: Call = {**call, "name": name, "args": unbroken(args)}
    return made


def unbroken(value: Any) -> Any:
    """The value with halves of characters, which no file can hold, replaced in every text."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {unbroken(str(key)): unbroken(inner) for key, inner in value.items()}
    return [unbroken(inner) for inner in value] if isinstance(value, list | tuple) else value


def tool_name(name: str, tools: Mapping[str, BaseTool]) -> str:
    """The tool that a name stands for: itself, in other case or punctuation, or the one near enough; else empty."""
    plain = re.sub(r"\W+", "_", name.strip().lower()).strip("_")[:80]
    if plain in tools:
        return plain
    near = difflib.get_close_matches(plain, tools, n=2, cutoff=0.88)
    return near[0] if len(near) == 1 else ""


def read_json(text: str) -> tuple[Any, bool]:
    """The JSON value that the text begins with, mended where need be (None: it cannot be), and whether its end was missing."""
    from langchain_core.utils.json import parse_partial_json

    for attempt in (text, text.translate(_QUOTES), _mended(text.translate(_QUOTES))):
        try:
            return json.JSONDecoder(strict=False).raw_decode(attempt)[0], False
        except (ValueError, RecursionError):
            pass
        try:
            value = parse_partial_json(attempt)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and value:
            return value, True
    return None, False


def _mended(text: str) -> str:
    """Single quotes, Python's constants, names without quotes and commas too many, as JSON has them."""
    text = _SINGLE.sub(lambda match: json.dumps(match[1].replace("\\'", "'")), text)
    text = _PYTHON.sub(lambda match: {"True": "true", "False": "false", "None": "null"}[match[1]], text)
    return _COMMA.sub(r"\1", _BARE.sub(r'\1"\2"\3', text))


def _call_in(value: Any, tools: Mapping[str, BaseTool], depth: int = 0) -> tuple[str, Any, str] | None:
    """Name, arguments and thought of the first call in a value, in whatever fields they stand."""
    if isinstance(value, list):
        value = value[0] if value else None
    if not isinstance(value, dict) or depth > 3:
        return None
    if isinstance(calls := value.get("tool_calls"), list):
        return _call_in(calls, tools, depth + 1)
    low = {str(key).lower(): inner for key, inner in value.items()}
    thought = next((str(low[key]) for key in THOUGHTS if isinstance(low.get(key), str)), "")
    for key in NAMES:
        if isinstance(low.get(key), dict):
            return _call_in(low[key], tools, depth + 1)
        if isinstance(low.get(key), str):
            beside = {k: v for k, v in value.items() if str(k).lower() not in (*NAMES, *THOUGHTS, "id", "type")}
            return low[key], next((low[k] for k in ARGS if k in low), beside), thought
    if len(value) == 1 and (name := tool_name(str(next(iter(value))), tools)):  # {"search_text": {"query": …}}
        return name, next(iter(value.values())), thought
    return None


def _too_deep(value: Any, left: int = DEEPEST) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return left < 0 or any(_too_deep(one, left - 1) for one in inner)


def _fitted(args: Any, schema: Any) -> Any:
    """Arguments that came as JSON inside a string, as the one that is needed, or as nothing."""
    if isinstance(args, str) and args.lstrip().startswith("{"):
        args = read_json(args[:LONGEST])[0]
    needed = [name for name, field in schema.model_fields.items() if field.is_required()]
    if isinstance(args, str) and (names := needed or list(schema.model_fields)):
        args = {names[0]: args}
    return {} if args is None else args


def _problems(error: ValidationError) -> str:
    """What pydantic found, at most three of it, each on the argument that it is about."""
    rows = error.errors(include_url=False, include_input=False, include_context=False)[:3]
    return "; ".join(f"{'.'.join(map(str, row['loc'])) or 'arguments'}: {row['msg']}" for row in rows)[:RAW]


def _fault(message: str, tools: Mapping[str, BaseTool], raw: str) -> Call:
    """The message, and how a call looks."""
    known = "; ".join(f"{name}({', '.join(tool.args)})" for name, tool in tools.items())
    return Call(
        name="",
        args={},
        raw=raw,
        fault=f"{message}{HOW}. Tools: {known}",
    )
