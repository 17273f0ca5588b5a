"""A property that fails is enough: hypothesis looks for no smaller example of it, which may take minutes.

For `make mutants` (`-p tests.torture.at_first_sight --hypothesis-profile at-first-sight`).
"""

from hypothesis import Phase, settings

settings.register_profile("at-first-sight", phases=[Phase.explicit, Phase.generate])
