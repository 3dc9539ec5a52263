"""Faults that somebody might have made: one small change of a source file at a time."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

OTHERS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Break: ast.Continue,
    ast.Continue: ast.Break,
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A piece of a text, and what stands in its place."""

    line: int
    start: int  # in bytes of UTF-8, as `ast` counts
    end: int
    before: str
    after: str

    def __str__(self) -> str:
        before, after = (" ".join(text.split()) for text in (self.before, self.after))
        return f"{self.line}: {before[:80]} -> {after[:80]}"

    def of(self, text: str) -> str:
        """Return the text with the fault in it."""
        content = text.encode()
        return (content[: self.start] + self.after.encode() + content[self.end :]).decode()


def mutants(text: str) -> list[Mutant]:
    """Return all mutants of a module, in the order of its lines."""
    starts = [0]
    for line in text.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for node, changed in _changes(ast.parse(text)):
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        before = text.encode()[start:end].decode()
        after = ast.unparse(changed)
        if isinstance(node, ast.expr):
            after = f"({after})"
        found.append(Mutant(node.lineno, start, end, before, after))
    return sorted(found, key=lambda mutant: (mutant.start, mutant.after))


Place = ast.expr | ast.stmt


def _changes(tree: ast.AST) -> Iterator[tuple[Place, ast.AST]]:
    """Return each node that can be another, and what it can be."""
    for child in _runs(tree):
        if isinstance(child, ast.expr):
            yield from ((child, other) for other in _of_expression(child))
        elif isinstance(child, ast.stmt):
            yield from ((child, other) for other in _of_statement(child))
        yield from _changes(child)


def _runs(node: ast.AST) -> Iterator[ast.AST]:
    """Return the children of a node, but not those that only say what is what."""
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list", "bases", "format_spec"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_told_only(child):
                yield child


def _is_told_only(node: ast.AST) -> bool:
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test)
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Assign):
        name = ast.unparse(node.targets[0])
        return name in {"__all__", "__slots__"} or _is_type(name)
    if isinstance(node, ast.Delete):  # of a name: for whoever counts references
        return isinstance(node.targets[0], ast.Name)
    return False


def _is_type(name: str) -> bool:
    return name[0].isupper() and (len(name) == 1 or not name.isupper()) and name.isalnum()


def _of_expression(node: ast.expr) -> Iterator[ast.expr]:
    match node:
        case ast.Compare(left, [operator], [right]) if type(operator) in OTHERS:
            yield ast.Compare(left, [OTHERS[type(operator)]()], [right])  # type: ignore[list-item]
        case ast.BoolOp(operator, values):
            yield ast.BoolOp(OTHERS[type(operator)](), values)  # type: ignore[arg-type]
        case ast.BinOp(left, operator, right) if type(operator) in OTHERS:
            yield ast.BinOp(left, OTHERS[type(operator)](), right)  # type: ignore[arg-type]
        case ast.UnaryOp(ast.Not(), operand):
            yield operand
        case ast.IfExp(_, body, orelse):
            yield from (value for value in (body, orelse) if not _is_none(value))
        case ast.Constant(bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(int() | float() as value):
            yield ast.Constant(value + 1)


def _of_statement(node: ast.stmt) -> Iterator[ast.stmt]:
    match node:
        case ast.Expr(ast.Call() | ast.Await()):
            yield ast.Pass()
        case ast.Assign(targets, value) if not _is_none(value):
            yield ast.Assign(targets, ast.Constant(None), lineno=0)
        case ast.AugAssign() | ast.Delete() | ast.Raise():
            yield ast.Pass()
        case ast.Return(value) if value is not None and not _is_none(value):
            yield ast.Return(ast.Constant(None))
        case ast.Break() | ast.Continue():
            yield OTHERS[type(node)]()  # type: ignore[misc]


def _is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None
