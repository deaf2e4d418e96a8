"""The protocols by name: which frames and objects count, and how their scores are averaged.

Sources: the DAVIS toolkits of 2016 and 2017, the YouTube-VOS paper (Xu et al., 2018), and for
SegTrack v2, which has no toolkit, the habit of the MaskTrack paper.
"""

from __future__ import annotations

from dataclasses import dataclass

from tinct.errors import OptionError, near_match
from tinct.evaluation.results import ALL_STEPS, BETWEEN_SCORED, MEASURES, TO_SCORED


@dataclass(frozen=True)
class Protocol:
    """How a benchmark scores.

    Attributes:
        name: As on the command line.
        merged: All that is not background is one object.
        skips_first: The first frame, whose truth is given, is not scored.
        skips_last: Nor is the last.
        starts_after_truth: An object is scored after the frame in which the truth shows it first,
            which is given; otherwise from the frame in which truth or prediction shows it first.
        average_over: "sequences", "objects", or "groups" (objects of seen and of unseen categories).
        measures: What is scored unless one asks for others.
        takes_255: Where a sequence's truth is 0 and 255 alone, and so object 1, such a prediction is, too.
        t_steps: Of which steps from frame to frame T is the mean: `BETWEEN_SCORED`; `TO_SCORED`, that from
            the given first frame among them; `ALL_STEPS`, that to the last frame too, which J and F skip.
    """

    name: str
    merged: bool = False
    skips_first: bool = True
    skips_last: bool = False
    starts_after_truth: bool = False
    average_over: str = "objects"
    measures: tuple[str, ...] = ("J", "F")
    takes_255: bool = False
    t_steps: str = BETWEEN_SCORED

    @property
    def rule(self) -> str:
        """What is skipped and how is averaged, in a sentence for the reader of a table."""
        skipped = {
            (True, True): "the first and the last frame are not scored",
            (True, False): "the first frame is not scored",
            (False, False): "all frames are scored",
        }[self.skips_first, self.skips_last]
        objects = "all objects are merged into one" if self.merged else "every object is scored by itself"
        start = {
            (False, True): ", from the frame after its first annotation",
            (False, False): ", from the first frame that shows it in truth or prediction",
        }.get((self.merged, self.starts_after_truth), "")
        averages = {
            "sequences": "the mean is taken over sequences",
            "objects": "the mean is taken over all objects of all sequences",
            "groups": "the mean is taken over the objects of seen and of unseen categories, then over both",
        }
        return f"{skipped}; {objects}{start}; {averages[self.average_over]}"


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "davis-2016", merged=True, skips_last=True, average_over="sequences", measures=MEASURES,
            t_steps=ALL_STEPS,
        ),
        Protocol("davis-2017", skips_last=True),
        Protocol("youtube-vos", starts_after_truth=True, average_over="groups"),
        Protocol("segtrack-v2", measures=("J",)),
        Protocol("plain", skips_first=False, takes_255=True),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Compatibility:
    """The known faults of an official toolkit, each of which can be asked for.

    Attributes:
        name: As on the command line.
        protocols: Those that the toolkit has.
        wraps_decay: Frame numbers are stored in eight bits, so the decay of more than 256 frames is wrong.
        counts_in_first_frame: Objects are counted in frame 0 alone: as many as its highest id. One that
            appears later is not scored, and an id that is left out there counts as a perfect object.
        t_steps: Of which steps T is, where the toolkit departs from the protocol; see `Protocol.t_steps`.
        angles_from_rows: The shape contexts of T count angles from the y axis.
    """

    name: str
    protocols: tuple[str, ...]
    wraps_decay: bool = False
    counts_in_first_frame: bool = False
    t_steps: str | None = None
    angles_from_rows: bool = False


COMPATIBILITIES = {
    toolkit.name: toolkit
    for toolkit in (
        Compatibility("davis2017-evaluation", ("davis-2017",), wraps_decay=True, counts_in_first_frame=True),
        Compatibility("davis-2016-python", ("davis-2016",), t_steps=BETWEEN_SCORED),
        Compatibility("davis-2016-matlab", ("davis-2016",), t_steps=TO_SCORED, angles_from_rows=True),
    )
}


def protocol_of(name: str) -> Protocol:
    """The protocol of a name.

    Raises:
        OptionError: There is none.
    """
    if name not in PROTOCOLS:
        raise OptionError(f"There is no protocol {name!r}. {near_match(name, PROTOCOLS)}")
    return PROTOCOLS[name]


def compatibility_of(name: str | None) -> Compatibility | None:
    """The faults to reproduce under a name; None for none.

    Raises:
        OptionError: There is no such toolkit.
    """
    if name is None:
        return None
    if name not in COMPATIBILITIES:
        raise OptionError(
            f"There is no toolkit {name!r} to be compatible with. {near_match(name, COMPATIBILITIES)}"
        )
    return COMPATIBILITIES[name]
