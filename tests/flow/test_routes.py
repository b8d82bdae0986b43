"""Where an organisation's conversations go, by their brand."""

from kustomer_klaviyo.connections.routing import NONE, Route, Routes, read_routes

RULES = (Route("b1", "kids", "Acme Kids"), Route("b2", NONE), Route("b1", "pro"))


def test_without_rules_everything_goes_to_every_connection() -> None:
    assert read_routes({}) == Routes()
    assert Routes().away("b1", "acme") is None
    assert Routes().away(None, "acme") is None


def test_the_first_rule_for_a_brand_decides() -> None:
    routes = Routes(RULES, "acme")
    assert routes.away("b1", "kids") is None
    assert routes.away("b1", "pro") is not None
    assert routes.away("b1", "acme") is not None


def test_what_goes_elsewhere_says_where_and_whose_it_is() -> None:
    routes = Routes(RULES, NONE)
    assert "brand Acme Kids go to kids" in str(routes.away("b1", "acme"))
    assert "brand b2 go to none" in str(routes.away("b2", "acme"))
    assert "without a brand go to none" in str(routes.away(None, "acme"))


def test_what_has_no_rule_goes_to_the_default() -> None:
    assert Routes(RULES, "acme").away("b9", "acme") is None
    assert Routes(RULES, "acme").away(None, "acme") is None
    assert Routes(RULES, "acme").away("b9", "kids") is not None
    assert Routes(RULES).away("b9", "kids") is None
