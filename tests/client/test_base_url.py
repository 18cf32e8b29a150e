"""Where the API may live."""

import pytest

from elumenta_nb._address import check_base_url, is_loopback, origin_of
from elumenta_nb._errors import ConfigError


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("https://elumenta.ru/api/v2", "https://elumenta.ru/api/v2"),
        ("https://elumenta.ru/api/v2/", "https://elumenta.ru/api/v2"),
        (" HTTPS://Elumenta.RU:443/api/v2// ", "https://elumenta.ru/api/v2"),
        ("https://elumenta.ru", "https://elumenta.ru"),
        ("https://gateway.corp:8443/elumenta/v2", "https://gateway.corp:8443/elumenta/v2"),
        ("https://10.0.0.5/api", "https://10.0.0.5/api"),
        ("https://пример.рф/api", "https://пример.рф/api"),
        ("http://127.0.0.1:8765/api/v2", "http://127.0.0.1:8765/api/v2"),
        ("http://localhost:80/api/v2", "http://localhost/api/v2"),
        ("http://[::1]:9/api/v2", "http://[::1]:9/api/v2"),
    ],
)
def test_a_good_address_is_given_back_plainly(given, plain):
    assert check_base_url(given) == plain


@pytest.mark.parametrize(
    "given",
    ["", "elumenta.ru", "http://elumenta.ru/api/v2", "http://10.0.0.5/api", "http://localhost.evil.example/", "http://127.0.0.1.evil.example/",
     "http://127.1/", "http://2130706433/", "ftp://elumenta.ru", "file:///etc/passwd", "https://", "https:///api", "https://user@elumenta.ru/",
     "https://user:pw@elumenta.ru/", "https://elumenta.ru@evil.example/", "https://elumenta.ru\\@evil.example/", "https://elumenta.ru/api?x=1",
     "https://elumenta.ru/api#x", "https://elumenta.ru/?", "https://elumenta.ru:99999/", "https://elumenta.ru:x/", "https://elu menta.ru/",
     "https://elumenta.ru/\napi", "https://elumenta.ru/a/../b", "https://[::1/", "https://-x.ru/", "https://a..b/", "javascript:alert(1)",
     "http://[::ffff:127.0.0.1]/", "http://0.0.0.0/", "\x00"],
)  # fmt: skip
def test_any_other_is_refused_with_the_normal_one_in_the_hint(given):
    with pytest.raises(ConfigError) as caught:
        check_base_url(given)

    assert "https://elumenta.ru/api/v2" in caught.value.hint
    assert caught.value.spent == "no"


def test_a_password_in_the_address_is_not_repeated():
    with pytest.raises(ConfigError) as caught:
        check_base_url("https://me:hunter2@elumenta.ru/")

    assert "hunter2" not in str(caught.value)


def test_loopback_is_told_by_name_and_number_alone():
    assert all(is_loopback(host) for host in ("localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1"))
    assert not any(is_loopback(host) for host in ("", "localhost.evil", "128.0.0.1", "0.0.0.0", "::2", "loopback"))


def test_an_origin_is_scheme_host_and_port():
    assert origin_of("HTTPS://Elumenta.ru/x") == origin_of("https://elumenta.ru:443/y") == ("https", "elumenta.ru", 443)
    assert origin_of("http://localhost:5/x") != origin_of("https://localhost:5/x")
