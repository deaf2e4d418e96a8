from __future__ import annotations

import pytest

from tinct.errors import OptionError
from tinct.evaluation.protocols import PROTOCOLS, compatibility_of, protocol_of


def test_unknown_names_get_the_known_ones() -> None:
    with pytest.raises(OptionError, match="Did you mean 'davis-2017'"):
        protocol_of("davis2017")
    with pytest.raises(OptionError, match="davis2017-evaluation"):
        compatibility_of("davis")
    assert compatibility_of(None) is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("davis-2016", ("first and the last", "merged", "over sequences")),
        ("davis-2017", ("first and the last", "by itself", "over all objects")),
        ("youtube-vos", ("first frame is", "after its first annotation", "seen and of unseen")),
        ("segtrack-v2", ("first frame is", "by itself", "over all objects")),
        ("plain", ("all frames", "by itself", "over all objects")),
    ],
)
def test_the_rule_says_what_is_skipped_and_averaged(name: str, words: tuple[str, ...]) -> None:
    assert all(word in PROTOCOLS[name].rule for word in words)
