"""What each role may, as a table, and that a token never widens it."""

import pytest

from larva.errors import Refused
from web.roles import AccountRole, Caller, Grant, Right

OWN, OTHER = "shop-1", "lab-1"
GRANTS = {role: Grant(role=role, cladnets=(OWN,) if role is AccountRole.TENANT else ()) for role in AccountRole}
MAY = {
    AccountRole.ADMIN: {(right, place) for right in Right for place in (OWN, OTHER, None)},
    AccountRole.OPERATOR: {
        (right, place) for right in Right if right is not Right.ADMINISTER for place in (OWN, OTHER, None)
    },
    AccountRole.TENANT: {
        *((right, place) for right in (Right.PUBLIC, Right.OWN) for place in (OWN, OTHER, None)),
        (Right.READ, OWN), (Right.USE, OWN),
    },
    AccountRole.VIEWER: {
        (right, place) for right in (Right.PUBLIC, Right.OWN, Right.READ) for place in (OWN, OTHER, None)
    },
}  # fmt: skip


@pytest.mark.parametrize("role", AccountRole)
def test_a_role_may_what_the_table_says_and_nothing_else(role: AccountRole) -> None:
    for right in Right:
        for place in (OWN, OTHER, None):
            assert GRANTS[role].allows(right, place) == ((right, place) in MAY[role]), (right, place)


@pytest.mark.parametrize("account", AccountRole)
@pytest.mark.parametrize("token", AccountRole)
def test_a_token_allows_no_more_than_its_account_and_no_more_than_itself(
    account: AccountRole, token: AccountRole
) -> None:
    caller = Caller(name="a", grants=(GRANTS[account], GRANTS[token]))
    for right in Right:
        for place in (OWN, OTHER, None):
            both = (right, place) in MAY[account] and (right, place) in MAY[token]
            assert caller.allows(right, place) == both
    assert caller.sees(OTHER) == (AccountRole.TENANT not in (account, token))


def test_a_refusal_says_who_is_refused_what() -> None:
    with pytest.raises(Refused, match=r"kim is viewer .* \(operate\)"):
        Caller(name="kim", grants=(GRANTS[AccountRole.VIEWER],)).require(Right.OPERATE)
