"""Reading the benchmark's attributes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinct.data.attributes import ATTRIBUTES, find_attributes, read_attributes
from tinct.errors import DatasetError

TEXT = """\
attributes: [FM, OCC]
sets: [training,test]
sequences:
- attributes: [FM, OCC]
  name: bear
  num_frames: 82
  set: training
  eval_t: True
- attributes: []
  name: blackswan
- name: 7
"""


def test_the_attributes_of_each_sequence_are_read(tmp_path: Path) -> None:
    path = tmp_path / "db_info.yml"
    path.write_text(TEXT)
    assert read_attributes(path) == {"bear": ("FM", "OCC"), "blackswan": (), "7": ()}


@pytest.mark.parametrize(
    "text", ["", "sequences: 3", "sequences: [bear]", "sequences: [{attributes: [FM]}]", "a: [", "- x"]
)
def test_another_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "db_info.yml"
    path.write_text(text)
    with pytest.raises(DatasetError, match=r"db_info\.yml .* expected a list `sequences`"):
        read_attributes(path)


def test_a_missing_file_and_one_that_is_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="FileNotFoundError"):
        read_attributes(tmp_path / "none.yml")
    (tmp_path / "db_info.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="UnicodeDecodeError"):
        read_attributes(tmp_path / "db_info.yml")


@pytest.mark.parametrize("name", ["db_info.yml", "db_info.yaml"])
@pytest.mark.parametrize("given", [".", "Annotations", "Annotations/480p"])
def test_the_file_is_found_from_the_root_and_from_below(tmp_path: Path, name: str, given: str) -> None:
    (tmp_path / "Annotations/480p").mkdir(parents=True)
    assert find_attributes(tmp_path / given) is None
    (tmp_path / "Annotations" / name).write_text(TEXT)
    found = find_attributes(tmp_path / given)
    assert found is not None
    assert found.samefile(tmp_path / "Annotations" / name)


def test_the_real_file_uses_the_known_letters_alone(shared_data: Path) -> None:
    path = find_attributes(shared_data / "davis-2016")
    assert path is not None
    sequences = read_attributes(path)
    assert len(sequences) == 50
    assert sequences["bear"] == ("DEF",)
    assert {letter for letters in sequences.values() for letter in letters} == set(ATTRIBUTES)
