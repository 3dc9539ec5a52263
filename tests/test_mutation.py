"""The faults that are planted to test the tests: see hostile/mutation.py, hostile/mutants.py."""

from __future__ import annotations

import ast
import random
from pathlib import Path

import pytest
from hostile import effort
from hostile import mutants as trial
from hostile.mutants import TESTS
from hostile.mutation import mutants

import fauxtp

PACKAGE = Path(fauxtp.__file__).parent

pytestmark = pytest.mark.once

TEXT = '''
"""No docstring is changed, nor what is told to type checkers."""

if TYPE_CHECKING:
    import nothing

Kind = int | str

def count(é: int = 1) -> int | None:
    if é > 0 and not done:
        é += 1
        del é
        tell("é", é)
    return None if done else é
'''

FAULTS = [
    "9: 1 -> (2)",
    "10: é > 0 -> (é >= 0)",
    "10: é > 0 and not done -> (é > 0 or not done)",
    "10: 0 -> (1)",
    "10: not done -> (done)",
    "11: é += 1 -> pass",
    "11: 1 -> (2)",
    '13: tell("é", é) -> pass',
    "14: return None if done else é -> return None",
    "14: None if done else é -> (é)",
]


def test_each_fault_is_one_change_that_somebody_might_have_made() -> None:
    assert sorted(map(str, mutants(TEXT))) == sorted(FAULTS)
    assert [mutant.of(TEXT).count("é >= 0") for mutant in mutants(TEXT)].count(1) == 1


@pytest.mark.parametrize("file", TESTS)
def test_every_mutant_is_python_and_another_program(file: str) -> None:
    text = (PACKAGE / file).read_text("utf-8")
    found = mutants(text)
    found = random.Random(effort.SEED).sample(found, min(len(found), effort.times(10, 1000)))
    programs = {ast.dump(ast.parse(mutant.of(text))) for mutant in found}
    assert len(programs) == len(found)
    assert ast.dump(ast.parse(text)) not in programs


def test_all_that_can_go_wrong_is_mutated() -> None:
    folders = {file.partition("/")[0] for file in TESTS}
    found = {
        path.relative_to(PACKAGE).as_posix()
        for folder in folders
        for path in (PACKAGE / folder).glob("*.py")
        if mutants(path.read_text("utf-8"))
    }
    assert found == TESTS.keys()


def test_the_tests_of_a_file_are_there() -> None:
    root = Path(__file__).parent.parent
    named = {test for file in TESTS for test in trial.tests_of(file)}
    assert [test for test in named if not (root / test).is_file()] == []
