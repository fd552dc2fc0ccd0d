import pytest

from store.redis import RedisAddress


def test_a_url_gives_host_port_login_database_and_tls() -> None:
    assert RedisAddress.from_url("rediss://risk:p%40ss@cache.example:6390/4", prefix="duewatch") == RedisAddress(
        host="cache.example",
        port=6390,
        username="risk",
        password="p@ss",  # noqa: S106
        database=4,
        tls=True,
        prefix="duewatch",
    )


def test_a_bare_url_means_the_usual_port_without_login() -> None:
    assert RedisAddress.from_url("redis://cache") == RedisAddress(host="cache")


def test_explicit_fields_win_over_the_url() -> None:
    assert RedisAddress.from_url("redis://cache:1/0", port=2, cluster=True) == RedisAddress(
        host="cache", port=2, cluster=True
    )


@pytest.mark.parametrize(
    "url", ["", "cache:6379", "http://cache", "redis://", "redis://cache/first", "redis://cache?db=1", "redis://c:x"]
)
def test_what_is_no_redis_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)redis|port"):
        RedisAddress.from_url(url)


def test_a_refused_url_and_a_printed_address_do_not_tell_the_password() -> None:
    with pytest.raises(ValueError, match="reads") as refusal:
        RedisAddress.from_url("http://:secret@cache")
    assert "secret" not in str(refusal.value)
    assert "secret" not in repr(RedisAddress.from_url("redis://:secret@cache"))


def test_a_prefix_with_braces_is_refused_because_it_would_move_the_hash_slot() -> None:
    with pytest.raises(ValueError, match="braces"):
        RedisAddress(prefix="{a}")


def test_a_cluster_has_one_database() -> None:
    with pytest.raises(ValueError, match="database 0"):
        RedisAddress(cluster=True, database=1)
