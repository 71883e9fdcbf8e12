"""Where the members of a clustered service should run, by what is known of a CLADNet."""

from dataclasses import replace

from cladnet import network_hosts, networks, status_tests
from cladnet.etcd.store import Store
from cladnet.placement import candidates, recommend
from cladnet.placement.candidates import Candidates
from cladnet.placement.model import Recommendation, Survive
from larva.errors import InvalidInput


def of(found: Candidates, *, nodes: int, survive: Survive) -> Recommendation:
    """Recommend hosts among candidates, with what was remarked of these.

    Raises:
        InvalidInput: the number of members or the candidates cannot do what is asked for.
    """
    made = recommend.recommend(found.hosts, found.rtts, nodes=nodes, survive=survive)
    return replace(made, warnings=(*found.remarks, *made.warnings))


def of_cladnet(store: Store, cladnet: str, *, nodes: int, survive: Survive) -> Recommendation:
    """Recommend hosts of a CLADNet by their clouds and its last status test.

    Raises:
        NotFound: no such CLADNet.
        InvalidInput: as of(), or its hosts have told of no cloud.
    """
    return of(_hosts_of(store, cladnet), nodes=nodes, survive=survive)


def widest_of_cladnet(store: Store, cladnet: str, *, nodes: int) -> Recommendation:
    """As of_cladnet(), for the widest failure that these hosts can survive.

    Raises:
        NotFound, InvalidInput: as of_cladnet(); the latter where not even a host's failure is survived.
    """
    found = _hosts_of(store, cladnet)
    for survive in reversed(Survive):
        try:
            return of(found, nodes=nodes, survive=survive)
        except InvalidInput as error:
            refusal = error
    raise refusal


def _hosts_of(store: Store, cladnet: str) -> Candidates:
    group = networks.find(store, cladnet).id
    return candidates.of_cladnet(network_hosts.views(store, group), status_tests.matrix(store, group))
