"""The method's row: tinct reads it when it starts, so nothing but `tinct.zoo.records` is imported here."""

from tinct.zoo.records import MethodRecord, Score

RECORD = MethodRecord(
    title="Drift: a toy network with a memory of its last mask (Nobody 2026)",
    module="tinct_drift.method",
    variants={"toy": "three convolutions"},
    default_variant="toy",
    paper_variant="toy",
    paper_scores={"DAVIS-2016 val J": Score(0.5, "paper", "table 1")},
)
