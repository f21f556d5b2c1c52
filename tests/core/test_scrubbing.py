"""Holds core.scrubbing: what is named like a secret never leaves."""

import pytest

from workers.core.scrubbing import SCRUBBED, scrubbed, secrets_of

DSN = "https://0123456789abcdef@o1.ingest.sentry.io/42"


@pytest.mark.parametrize("text", [DSN, "key 0123456789abcdef leaked", "hunter2hunter2"])
def test_a_secret_and_the_key_in_an_address_are_replaced(text: str):
    secrets = secrets_of({"SENTRY_DSN": DSN, "MY_PASSWORD": "hunter2hunter2", "HOME": "/root"})

    cleaned = scrubbed(text, secrets)

    assert SCRUBBED in cleaned
    assert "0123456789abcdef" not in cleaned
    assert "hunter2" not in cleaned


def test_a_user_and_a_password_in_an_address_are_both_secrets():
    secrets = secrets_of({"REMOTE_TOKEN": "https://somebody1:secretword@host/x"})

    assert {"somebody1", "secretword"} <= set(secrets)


def test_ordinary_words_stay():
    assert "/root is fine" == scrubbed("/root is fine", secrets_of({"HOME": "/root", "A_KEY": "x"}))


def test_short_values_do_not_blot_out_text():
    assert () == secrets_of({"APP_TOKEN": "on"})
