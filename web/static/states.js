// Which colour a host's state has; the colour repeats what the word says.

export const STATES = { active: "good", unreachable: "bad", problem: "bad", down: "wait", waiting: "wait" };

/** A host's state as pages name it: what keeps it out counts before what the controller says. */
export const stateOf = (host) => (host.problem ? "problem" : host.state ?? "waiting");
