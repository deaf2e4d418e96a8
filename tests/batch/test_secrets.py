from __future__ import annotations

import pytest

from tinct.batch.secrets import redacted


@pytest.mark.parametrize(
    "text",
    [
        "ftp://anna:hunter22@host/clip.mp4 is not there",
        "ftp://anna:hun/ter22@host/clip.mp4",
        "GET https://host/clip.mp4?X-Amz-Signature=hunter22&x=1 gave 403",
        "ClientError: secret_access_key=hunter22 is wrong",
        "{'aws_secret_access_key': 'hunter22', 'region': 'x'}",
        "Authorization: Bearer hunter22",
        "the token: hunter22",
    ],
)
def test_no_credential_is_left(text: str) -> None:
    cleaned = redacted(text)
    assert "hunter22" not in cleaned
    assert "ter22" not in cleaned


def test_values_of_secret_variables_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET_KEY", "correct horse")
    assert redacted("refused: correct horse") == "refused: ***"


@pytest.mark.parametrize("text", ["s3://bucket/a b/clip.mp4", "/home/anna@work/clip.mp4", "3 of 4"])
def test_what_is_no_credential_stays(text: str) -> None:
    assert redacted(text) == text
