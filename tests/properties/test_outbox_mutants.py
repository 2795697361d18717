import pytest

from tests.mutants.outbox_mutants import MUTANTS, mutated


@pytest.mark.parametrize("mutant", MUTANTS, ids=range(len(MUTANTS)))
def test_every_seeded_defect_can_still_be_seeded(mutant):
    compile(mutated(*mutant), mutant[0], "exec")
