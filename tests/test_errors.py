from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

import tinct
from tinct import errors

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]


def test_one_except_catches_every_error_of_tinct() -> None:
    assert {"MaskError", "VideoError", "OutputError", "WeightsError"} <= {kind.__name__ for kind in KINDS}
    assert all(issubclass(kind, errors.TinctError) for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_a_public_name_and_drawn(kind: type[Exception]) -> None:
    assert getattr(tinct, kind.__name__) is kind
    assert kind.__name__ in tinct.__all__
    builtin = [base.__name__ for base in kind.__bases__ if base.__module__ == "builtins"]
    shown = f"{kind.__name__} ({builtin[0]})" if builtin and kind is not tinct.TinctError else kind.__name__
    assert shown in (errors.__doc__ or "")


@pytest.mark.parametrize(
    ("kind", "caught"),
    [
        (tinct.OptionError, ValueError),
        (tinct.MaskError, ValueError),
        (tinct.VideoError, ValueError),
        (tinct.FrameIndexError, IndexError),
        (tinct.UnknownObjectError, KeyError),
        (tinct.MissingExtraError, ImportError),
        (tinct.MissingDatasetError, FileNotFoundError),
        (tinct.MissingMaskError, FileNotFoundError),
        (tinct.MissingVideoError, FileNotFoundError),
        (tinct.MissingWeightsError, FileNotFoundError),
    ],
)
def test_the_builtin_error_that_people_catch_catches_it_too(
    kind: type[Exception], caught: type[Exception]
) -> None:
    with pytest.raises(caught):
        raise kind("what came, and the fix")


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_stays_as_it_was_written_also_in_another_process(kind: type[Exception]) -> None:
    error = kind("There is no 'x'; take y.")
    assert str(error) == "There is no 'x'; take y."
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (kind, str(error))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("feelvoz", "Did you mean 'feelvos'? Known: feelvos, osvos."),
        ("zzz", "Known: feelvos, osvos."),
    ],
)
def test_an_unknown_name_gets_its_nearest_known_one(name: str, expected: str) -> None:
    assert errors.near_match(name, ["osvos", "feelvos"]) == expected


def test_masks_and_videos_do_not_import_torch() -> None:
    code = "import sys, tinct.io.mask_files, tinct.io.video; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
