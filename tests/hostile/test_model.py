"""Both twins do what a trivially simple model does, whatever is asked of them."""

from __future__ import annotations

import pytest
from twins_of import FORMS, form_of

from hostile import broken, effort, machine

pytestmark = [pytest.mark.twins, pytest.mark.usefixtures("in_order")]

HISTORIES = effort.times(40, 200_000 // 40)  # of which few have all 50 steps


def test_twins_and_model_agree_on_every_step() -> None:
    twins = [form_of("registry", form) for form in FORMS]
    outcomes = machine.drive(twins, HISTORIES, effort.SEED)
    answered = outcomes["answer"] / outcomes.total()
    assert 0.3 < answered < 0.95, "neither only good calls nor only bad ones"
    effort.report(
        f"model: {outcomes.total():,} steps alike in {len(twins)} twins and the model,"
        f" {answered:.0%} of them without an error"
    )


@pytest.mark.once
@pytest.mark.parametrize(
    "fault",
    [
        broken.ForgetsOrder,
        broken.FreesForAnybody,
        broken.PassesOnBlindly,
        broken.MovesToTheEnd,
        broken.SaysLess,
    ],
)
def test_a_fault_is_found(fault: type) -> None:
    def search() -> None:
        for number in range(40):  # few need more than two
            machine.drive([broken.Broken(fault)], 50, effort.SEED + number)

    with pytest.raises(machine.Disagreement):
        search()
