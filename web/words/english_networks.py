"""Every word that people read of new networks, of launching VMs and of placement in the console, in English."""

WORDS = {
    "nav.placement": "Placement",
    "placement.title": "Placement advisor",
    "placement.lead": (
        "Where the members of a clustered service should run, as etcd, Ceph's monitors or a database, which works "
        "as long as a majority of them lives."
    ),
    "placement.nodes": "Members",
    "placement.survive": "It has to survive the failure of",
    "placement.survive.widest": "as much as these hosts can",
    "placement.survive.host": "any one host",
    "placement.survive.zone": "any one zone",
    "placement.survive.region": "any one region",
    "placement.survive.csp": "any one CSP",
    "placement.survive.csp+region": "any one CSP, and any one region",
    "placement.submit": "Recommend",
    "placement.members": "Recommended hosts",
    "placement.csp": "CSP",
    "placement.zone": "Zone",
    "placement.area": "Area",
    "placement.write": "Write, if it leads",
    "placement.models": "The five models, and why not the others",
    "placement.model": "Model",
    "placement.verdict": "Verdict",
    "placement.best": "Write, at best",
    "placement.failures": "Every single failure",
    "placement.failure": "Failure of",
    "placement.left": "Members left",
    "placement.survived": "Survived",
    "placement.promised": "Asked for",
    "placement.meanwhile": "Write meanwhile",
    "live.placement.chosen": "Model {model}: {title}",
    "live.placement.leads": "should lead",
    "live.placement.write.words": (
        "Expected for a write, which waits for {majority} of {nodes} members, while {leader} leads; {worst} under the "
        "worst leader that an election could bring."
    ),
    "live.placement.guessed": "Never measured, guessed high: {pairs}. A status test measures it.",
    "live.model.1": "one zone",
    "live.model.2": "several zones of one region",
    "live.model.3": "several regions of one CSP",
    "live.model.4": "several CSPs in logically one region",
    "live.model.5": "several CSPs in several regions",
    "live.outcome.chosen": "chosen",
    "live.outcome.promises-less": "promises less",
    "live.outcome.impossible": "not possible",
    "live.outcome.slower": "slower",
    "live.outcome.no-gain": "no gain",
    "live.why.chosen": "It has the least write latency of those that survive the failure of {survive}.",
    "live.why.less": "Its members are together in what may fail: it cannot survive the failure of {survive}.",
    "live.why.slower": "Its best hosts write slower than those of model {model}, which take {ms}.",
    "live.why.same": "Spreading wider than model {model} makes no write faster.",
    "live.survive.host": "any one host",
    "live.survive.zone": "any one zone",
    "live.survive.region": "any one region",
    "live.survive.csp": "any one CSP",
    "live.survive.csp+region": "any one CSP, and any one region",
    "live.must.csp": "Must a whole CSP's failure be survived?",
    "live.must.region": "Must a whole region's failure be survived?",
    "live.must.zone": "Must a whole zone's failure be survived?",
    "live.failing.host": "host",
    "live.failing.zone": "zone",
    "live.failing.region": "region",
    "live.failing.area": "area",
    "live.failing.csp": "CSP",
    "launch.title": "Launch it",
    "launch.help": (
        "Save the user-data as user-data.yaml, readable by you only: it holds the token. Words in "
        "capitals are yours to fill in; IMAGE and AMI are the appliance's image at that provider."
    ),
    "launch.command": "Command",
    "launch.tumblebug": (
        "Sent to POST /ns/NS/infraDynamic. Tumblebug has no field for user-data: it puts the "
        "join file in place by SSH, and keeps the request with the token in it."
    ),
    "cladnet.confirm": "Create {name}?",
    "cladnet.room": "Room for hosts",
    "cladnet.hosts": "For how many hosts",
    "cladnet.second.off": "no IPv6",
    "cladnet.second.auto": "IPv6 too: a private prefix is drawn",
    "cladnet.second.own": "IPv6 too: with the prefix below",
    "cladnet.prefix": "Private IPv6 prefix, a /64",
    "cladnet.encryption.on.help": "WireGuard: nobody on the way reads or forges anything.",
    "cladnet.encryption.off.help": (
        "Whoever is on the way between two hosts reads and forges what they say. For hosts of one private network only."
    ),
    "cladnet.later": (
        "All of it can be changed later by `larva net update`; the range can only grow, and while encryption changes "
        "nothing goes between two hosts until both have changed over."
    ),
    "range.range": "Range",
    "range.because": "Because",
    "range.whose": "Whose",
    "range.recommend": "Recommend a range",
    "range.recommended": "{cidr} is free: it holds {hosts} hosts and overlaps nothing that is known.",
    "range.avoided": "What it keeps away from",
    "range.overlapped": "What this range overlaps",
    "range.free": "The range overlaps no CLADNet, no host's own network and nothing that providers usually use.",
    "range.unwise": "The range overlaps what providers usually use",
    "range.unwise.help": "A host that sits in one of these networks cannot join. It can be created all the same.",
    "range.reason.cladnet": "another CLADNet",
    "range.reason.host-network": "a host sits in it: it would lose its own network",
    "range.reason.reserved": "a provider or common software keeps it for itself",
    "range.reason.usual": "providers give it to networks by default: a host may sit there tomorrow",
}
