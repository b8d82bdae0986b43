"""Brand routing: the destination of conversations by brand."""

from kustomer_klaviyo.connections.routing import NONE, Route, Routes, read_routes

ROUTES = (Route("b1", "kids", "Acme Kids"), Route("b2", NONE), Route("b1", "pro"))


def test_without_routes_everything_goes_to_every_connection() -> None:
    assert read_routes({}) == Routes()
    assert Routes().describe_other_route("b1", "acme") is None
    assert Routes().describe_other_route(None, "acme") is None


def test_the_first_route_of_a_brand_decides() -> None:
    routes = Routes(ROUTES, "acme")
    assert routes.describe_other_route("b1", "kids") is None
    assert routes.describe_other_route("b1", "pro") is not None
    assert routes.describe_other_route("b1", "acme") is not None


def test_another_route_is_described_with_brand_and_destination() -> None:
    routes = Routes(ROUTES, NONE)
    assert "brand Acme Kids go to kids" in str(routes.describe_other_route("b1", "acme"))
    assert "brand b2 go to none" in str(routes.describe_other_route("b2", "acme"))
    assert "without a brand go to none" in str(routes.describe_other_route(None, "acme"))


def test_a_brand_without_a_route_goes_to_the_default() -> None:
    assert Routes(ROUTES, "acme").describe_other_route("b9", "acme") is None
    assert Routes(ROUTES, "acme").describe_other_route(None, "acme") is None
    assert Routes(ROUTES, "acme").describe_other_route("b9", "kids") is not None
    assert Routes(ROUTES).describe_other_route("b9", "kids") is None
