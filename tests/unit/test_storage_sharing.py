"""Whom a volume is kept for decides which mounts may be and which keys are good, whatever else stands in etcd."""

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from cbstorage.commands import volume_shares
from cbstorage.leading import volume_plan
from cbstorage.leading.volume_plan import Desired
from cbstorage.model import (
    MountPhase,
    MountSpecification,
    MountState,
    SealedKey,
    SealedKeys,
    VolumePhase,
    VolumeSpecification,
    VolumeState,
)
from cbstorage.share_model import Share, VolumeShares, allowed
from cladnet.etcd.store import Versioned

HOSTS = ("aws-1", "azure-1", "gcp-1")
SEALS = {host: f"seal-{host}" for host in HOSTS}
VOLUME = VolumeSpecification(
    group="demo", name="data", id="11112222", size_bytes=1 << 30, created_at=datetime(2026, 1, 1, tzinfo=UTC)
)
READY = VolumeState(id=VOLUME.id, ready=True, size_bytes=VOLUME.size_bytes)

modes = st.none() | st.booleans()
"""Of one host: nothing; reading only, or not."""
by_host = st.fixed_dictionaries(dict.fromkeys(HOSTS, modes))


def shares(given_to: dict[str, bool | None]) -> VolumeShares:
    return VolumeShares(
        group="demo",
        volume_id=VOLUME.id,
        shares=tuple(Share(host=host, read_only=mode) for host, mode in given_to.items() if mode is not None),
    )


def wish(host: str, *, read_only: bool = False) -> MountSpecification:
    return MountSpecification(
        volume="data", volume_id=VOLUME.id, host=host, path="/srv/data", read_only=read_only
    )  # fmt: skip


def key(host: str, *, read_only: bool) -> Versioned[SealedKeys]:
    entity = VOLUME.entity(host, read_only=read_only)
    return Versioned("k", SealedKeys(seal_key=SEALS[host], keys=(SealedKey(entity=entity, box=""),)), 1)


def report(host: str) -> MountState:
    return MountState(volume="data", volume_id=VOLUME.id, host=host, path="/srv/data", phase=MountPhase.MOUNTED)


def desired(
    *,
    mounts: dict[str, bool | None],
    keys: dict[str, bool | None],
    reports: set[str],
    kept_for: VolumeShares | None,
    phase: VolumePhase = VolumePhase.ACTIVE,
) -> Desired:
    return Desired(
        volumes=(Versioned("v", replace(VOLUME, phase=phase), 5),),
        states={"data": READY},
        mounts={(host, "data"): wish(host, read_only=mode) for host, mode in mounts.items() if mode is not None},
        reports={(host, "data"): report(host) for host in reports},
        handed_out={(host, "data"): key(host, read_only=mode) for host, mode in keys.items() if mode is not None},
        shares={VOLUME.id: kept_for} if kept_for else {},
    )


states = st.builds(
    desired,
    mounts=by_host,
    keys=by_host,
    reports=st.sets(st.sampled_from(HOSTS)),
    kept_for=st.none() | by_host.map(shares),
    phase=st.sampled_from(VolumePhase),
)


@given(states)
def test_no_host_is_given_or_left_a_key_that_its_share_does_not_allow(state: Desired) -> None:
    plan = volume_plan.plan(state, SEALS)
    kept_for = state.shares.get(VOLUME.id)
    if kept_for is None:
        return
    for mount in plan.hand_out:
        share = kept_for.of(mount.host)
        assert share is not None
        assert mount.read_only or not share.read_only
    for pair in state.handed_out.keys() - set(plan.take_back):
        share = kept_for.of(pair[0])
        assert share is not None, "whoever has no share loses the key at once, mounted or not"
        if share.read_only and state.volumes[0].value.phase is VolumePhase.ACTIVE:
            entity = state.handed_out[pair].value.keys[0].entity
            assert entity == VOLUME.entity(pair[0], read_only=True)


@given(states)
def test_a_plan_that_was_carried_out_leaves_nothing_but_what_may_be(state: Desired) -> None:
    """Keys go and come as the keeper does it; hosts let go of what they may not have."""
    for _ in range(3):
        plan = volume_plan.plan(state, SEALS)
        keys = {pair: given for pair, given in state.handed_out.items() if pair not in plan.take_back}
        keys |= {(one.host, "data"): key(one.host, read_only=one.read_only) for one in plan.hand_out}
        state = replace(state, handed_out=keys, reports={})
    assert volume_plan.plan(state, SEALS).take_back == volume_plan.plan(state, SEALS).hand_out == ()
    kept_for = state.shares.get(VOLUME.id)
    active = state.volumes[0].value.phase is VolumePhase.ACTIVE
    may = {pair: one for pair, wanted in state.mounts.items() if (one := allowed(wanted, kept_for)) and active}
    assert {pair: given.value.keys[0].entity for pair, given in state.handed_out.items()} == {
        pair: VOLUME.entity(one.host, read_only=one.read_only) for pair, one in may.items()
    }


@given(states)
def test_a_volume_without_a_record_is_for_every_host(state: Desired) -> None:
    everybody = VolumeShares(group="demo", volume_id=VOLUME.id, shares=tuple(Share(host=host) for host in HOSTS))
    assert volume_plan.plan(replace(state, shares={}), SEALS) == volume_plan.plan(
        replace(state, shares={VOLUME.id: everybody}), SEALS
    )


def test_another_volume_s_record_does_not_count() -> None:
    other = VolumeShares(group="demo", volume_id="99998888")
    state = desired(mounts={"aws-1": False}, keys={}, reports=set(), kept_for=None)
    assert [one.host for one in volume_plan.plan(replace(state, shares={other.volume_id: other}), SEALS).hand_out]


def test_a_host_that_may_only_read_from_now_on_loses_its_key_before_it_gets_the_other() -> None:
    reading = shares({"aws-1": True})
    state = desired(mounts={"aws-1": False}, keys={"aws-1": False}, reports={"aws-1"}, kept_for=reading)
    plan = volume_plan.plan(state, SEALS)
    assert (plan.take_back, plan.hand_out) == ((("aws-1", "data"),), ())
    (given_now,) = volume_plan.plan(replace(state, handed_out={}), SEALS).hand_out
    assert given_now == wish("aws-1", read_only=True)
    # Also while it only lingers: nobody wants the mount, and the host has not let go of it.
    assert volume_plan.plan(replace(state, mounts={}), SEALS).take_back == (("aws-1", "data"),)


def test_a_deleted_volume_waits_for_no_host_that_has_lost_its_share() -> None:
    nobody = shares({})
    gone = desired(mounts={}, keys={}, reports={"aws-1"}, kept_for=nobody, phase=VolumePhase.DELETING)
    assert volume_plan.plan(gone, SEALS).remove
    held = desired(mounts={}, keys={"aws-1": False}, reports={"aws-1"}, kept_for=nobody, phase=VolumePhase.DELETING)
    assert not volume_plan.plan(held, SEALS).remove, "its key goes first"
    assert volume_plan.plan(held, SEALS).take_back == (("aws-1", "data"),)


def test_shares_in_words() -> None:
    assert volume_shares.words(()) == "no host"
    assert volume_shares.words(shares({"aws-1": True, "gcp-1": False}).shares) == "aws-1 (read only), gcp-1"
