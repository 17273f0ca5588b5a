"""What an edit teaches, beyond what whole histories show."""

from ardaemon.judging.noise.belief import of_baseline
from ardaemon.judging.noise.edits import GROUPS, HURTS, KEPT, SHARES, Edits
from ardaemon.judging.noise.fit import fits

ALL_LUCK_NEW = [1.0] + [0.0] * (len(SHARES) - 1)


def test_an_edit_that_only_a_share_without_weight_explains_teaches_nothing_on_effects() -> None:
    """A share's weight is 0 while its hypotheses are unlikely, and may grow again."""
    before = Edits([0.0] * len(GROUPS) * len(HURTS), [0.0] * len(KEPT), ALL_LUCK_NEW)
    alike, *others = fits(of_baseline((0.0, 0.3, -0.2)), SHARES, (4.0, 4.1))
    surprising = [one._replace(evidence=one.evidence + 100) for one in others]
    assert before.taught([alike, *others], several=False).effects() != before.effects()
    assert before.taught([alike, *surprising], several=False).effects() == before.effects()
