"""Write start.json, exit.json and the shim's answer as JSON, and no more of JSON than they need.

The json module imports re and what re needs: a quarter of a shim's start, and half a megabyte of each shim.
"""

_ESCAPED = {code: f"\\u{code:04x}" for code in range(0x20)} | {ord('"'): '\\"', ord("\\"): "\\\\"}


def encode(value: object) -> bytes:
    """Encode None, bool, int, float, str, and lists, tuples and dicts (str keys) of these.

    A part of a string that is no text (a surrogate) becomes "?". Raises TypeError for any other type.
    """
    return _text(value).encode("utf-8", "replace")


def _text(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPED)}"'
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_text(name)}: {_text(each)}' for name, each in value.items())}}}"
    raise TypeError(f"{type(value).__name__} is not written")
