"""Places in the text of a module where a mutant can be made."""

import ast

SWAPS = {
    ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"),
    ast.Pow: ("**", "*"), ast.FloorDiv: ("//", "*"), ast.Mod: ("%", "*"), ast.MatMult: ("@", "*"),
    ast.BitAnd: ("&", "|"), ast.BitOr: ("|", "&"),
    ast.And: ("and", "or"), ast.Or: ("or", "and"),
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="), ast.NotEq: ("!=", "=="), ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"), ast.In: ("in", "not in"), ast.NotIn: ("not in", "in"),
}  # fmt: skip
# Functions whose first two arguments may change places, alone or as attributes of these.
SYMMETRIC = {"max": (), "min": (), "maximum": ("jnp", "np"), "minimum": ("jnp", "np")}
SYMMETRIC |= {"hypot": ("jnp", "np", "math")}
# Messages and names. Annotations and decorators are left out below.
SKIPPED = (ast.Raise, ast.Assert, ast.JoinedStr, ast.Import, ast.ImportFrom)


class Places(ast.NodeVisitor):
    """All of them in `found`: (start, end, new text), in characters of the text."""

    def __init__(self, text: str):
        self.text, self.found = text, []
        # ast counts columns in bytes
        lines = text.splitlines(keepends=True)
        self.starts, self.lines = [0], [line.encode() for line in lines]
        for line in lines:
            self.starts.append(self.starts[-1] + len(line))
        self.visit(ast.parse(text))

    def place(self, line: int, column: int) -> int:
        return self.starts[line - 1] + len(self.lines[line - 1][:column].decode())

    def span(self, node) -> tuple[int, int]:
        start = self.place(node.lineno, node.col_offset)
        return start, self.place(node.end_lineno, node.end_col_offset)

    def add(self, start: int, end: int, new: str) -> None:
        self.found.append((start, end, new))

    def visit(self, node) -> None:
        if isinstance(node, SKIPPED):
            return
        getattr(self, f"_{type(node).__name__.lower()}", lambda node: None)(node)
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "type_params"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    self.visit(child)

    def _operator(self, op, left, right) -> None:
        if type(op) in SWAPS:
            old, new = SWAPS[type(op)]
            start, end = self.span(left)[1], self.span(right)[0]
            at = self.text[start:end].find(old)
            if at >= 0:
                self.add(start + at, start + at + len(old), new)

    def _binop(self, node) -> None:
        self._operator(node.op, node.left, node.right)

    def _boolop(self, node) -> None:
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._operator(node.op, left, right)

    def _compare(self, node) -> None:
        for left, op, right in zip(
            [node.left, *node.comparators], node.ops, node.comparators, strict=False
        ):
            self._operator(op, left, right)

    def _unaryop(self, node) -> None:
        if isinstance(node.op, ast.USub | ast.Not | ast.Invert):
            self.add(self.span(node)[0], self.span(node.operand)[0], "")

    def _constant(self, node) -> None:
        value = node.value
        if isinstance(value, bool):
            self.add(*self.span(node), str(not value))
        elif isinstance(value, int):
            self.add(*self.span(node), str(value + 1))
        elif isinstance(value, float):
            self.add(*self.span(node), repr(2 * value if value else 1.0))

    def _if(self, node) -> None:
        start, end = self.span(node.test)
        self.add(start, end, f"not ({self.text[start:end]})")

    _ifexp = _while = _if

    def _call(self, node) -> None:
        if len(node.args) >= 2 and not any(isinstance(x, ast.Starred) for x in node.args[:2]):
            (a, b), (c, d) = map(self.span, node.args[:2])
            first, second = self.text[a:b], self.text[c:d]
            if first != second and not _symmetric(node):
                self.add(a, d, second + self.text[b:c] + first)
        for keyword in node.keywords:
            start, end = self.span(keyword.value)
            if keyword.arg and self.text[end : end + 1] == ",":
                self.add(self.span(keyword)[0], end + 1, "")


def _symmetric(call: ast.Call) -> bool:
    """Swapped arguments give the same; with a `key`, not where two are equal."""
    function = call.func
    if isinstance(function, ast.Name):
        return SYMMETRIC.get(function.id) == () and not call.keywords
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        return function.value.id in SYMMETRIC.get(function.attr, ())
    return False
