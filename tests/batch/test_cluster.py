from __future__ import annotations

from tinct.batch.cluster import _why_not


def test_a_cluster_of_another_version_is_one_line_with_both() -> None:
    said = (
        "Version mismatch: The cluster was started with:\n    Ray: 2.9.3\n    Python: 3.10.1\n"
        "This process on node 1.2.3.4 was started with:\n    Ray: 2.60.0\n    Python: 3.11.7\n"
    )
    text = _why_not("ray://anna:hunter22@10.0.0.1:10001", RuntimeError(said))
    assert "\n" not in text
    assert text.startswith("The Ray cluster ray://10.0.0.1:10001 has another version than this machine:")
    assert "Ray: 2.9.3 Python: 3.10.1" in text
    assert "hunter22" not in text
