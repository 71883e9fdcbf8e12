// Draws a CLADNet with Cytoscape: clouds and regions as groups, hosts in them, OSDs and monitors beside their hosts.

import cytoscape from "./vendor/cytoscape.mjs";
import { placesOf } from "./layout.js";
import { isTold, lineColour, milliseconds, percent } from "./lines.js";
import { word, wordOf } from "./page.js";

const MOST_WITH_MARKS = 150; // hosts; with more, what runs on each is told by the list alone
const MOST_WITH_LABELS = 60; // lines with their figure on them

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

const COLOURS = { active: "accent", unreachable: "bad", problem: "bad", down: "wait", waiting: "wait" };
function looks() {
  const ink = colour("ink");
  const text = { color: ink, "font-family": "system-ui, sans-serif", "font-size": 12, "text-wrap": "wrap" };
  return [
    { selector: "node", style: { ...text, "min-zoomed-font-size": 6, "z-index-compare": "manual", "z-index": 3 } },
    { selector: "node[kind = 'host']", style: {
      label: "data(label)", width: 26, height: 26, "background-color": "data(colour)", "border-width": 2,
      "border-color": colour("surface"), "text-valign": "bottom", "text-margin-y": 5, "line-height": 1.2,
      "text-background-color": colour("surface"), "text-background-opacity": 0.75, "text-background-padding": 1,
    } },
    { selector: "node[kind = 'host'][?silent]", style: { "background-opacity": 0, "border-color": "data(colour)", "border-style": "dashed" } },
    { selector: "node[kind = 'osd']", style: { shape: "round-rectangle", width: 11, height: 11, "background-color": "data(colour)" } },
    { selector: "node[kind = 'monitor']", style: { shape: "diamond", width: 15, height: 15, "background-color": "data(colour)" } },
    { selector: "node[kind = 'cloud'], node[kind = 'region']", style: {
      label: "data(label)", shape: "round-rectangle", "background-color": colour("ground"), "background-opacity": 0.6,
      "text-wrap": "ellipsis", "text-max-width": 220,
      "border-width": 1, "border-color": colour("line"), "text-valign": "top", "text-halign": "center", color: colour("faint"),
      "text-margin-y": -4, "min-zoomed-font-size": 5, "z-index": 1,
    } },
    { selector: "node[kind = 'cloud']", style: { "font-size": 15, "font-weight": 600, color: ink, padding: 26, "background-opacity": 0.35 } },
    { selector: "node[kind = 'region']", style: { padding: 16, "background-color": colour("surface") } },
    { selector: "edge", style: {
      ...text, "curve-style": "straight", width: "data(width)", "line-color": "data(colour)", "line-opacity": 0.8,
      label: "data(label)", "font-size": 10.5, "text-background-color": colour("surface"), "text-background-opacity": 0.9,
      "text-background-padding": 2, "min-zoomed-font-size": 7, "z-index-compare": "manual", "z-index": 2,
    } },
    { selector: "edge[?near]", style: { "curve-style": "unbundled-bezier", "control-point-distances": 26, "control-point-weights": 0.5 } },
    { selector: "edge[!told]", style: { "line-style": "dashed", "line-dash-pattern": [3, 6], "line-opacity": 0.7 } },
    { selector: "edge[?alarmed]", style: { "line-style": "dashed", "line-dash-pattern": [8, 4], "line-opacity": 1 } },
    { selector: ".faded", style: { opacity: 0.18 } },
    { selector: ".chosen", style: { "border-color": colour("focus"), "border-width": 4 } },
  ];
}

function marksOf(item, place) {
  const marks = [];
  if (item.monitor !== null) marks.push({ id: "monitor", kind: "monitor", good: item.monitor });
  for (const osd of item.osds) marks.push({ id: `osd.${osd.id}`, kind: "osd", good: osd.good });
  return marks.map((mark, index) => ({
    data: {
      id: `${mark.id}@${item.name}`, kind: mark.kind, parent: regionId(item), colour: colour(mark.good ? "good" : "bad"),
    },
    position: { x: place.x + (index - (marks.length - 1) / 2) * 17, y: place.y - 25 },
  }));
}

const cloudId = (item) => `cloud ${item.provider}`;
const regionId = (item) => `region ${item.provider} ${item.region}`;

function elementsOf(items, lines, mode) {
  const places = placesOf(items);
  const groups = new Map();
  const nodes = [];
  for (const item of items) {
    const place = places.get(item.name);
    groups.set(cloudId(item), { data: { id: cloudId(item), kind: "cloud", label: item.provider || word("cloud.unknown") } });
    groups.set(regionId(item), { data: { id: regionId(item), kind: "region", parent: cloudId(item), label: item.region || " " } });
    nodes.push({
      data: {
        id: item.name, kind: "host", parent: regionId(item), silent: item.silent, colour: colour(COLOURS[item.state] ?? "faint"),
        label: item.address ? `${item.name}\n${item.address}` : item.name,
      },
      position: place,
    });
    if (items.length <= MOST_WITH_MARKS) nodes.push(...marksOf(item, place));
  }
  const clouds = new Map(items.map((item) => [item.name, item.provider]));
  const edges = lines.filter((line) => places.has(line.one) && places.has(line.other)).map((line) => ({
    data: {
      id: `${line.one} ${line.other}`, source: line.one, target: line.other, told: isTold(line), alarmed: line.alarm !== null,
      colour: colour(lineColour(line, mode)), width: line.alarm === null ? 2 : 3.5,
      near: clouds.get(line.one) === clouds.get(line.other), // hosts of one cloud stand in rows: a straight line would run through others
      label: lines.length <= MOST_WITH_LABELS ? figure(line, mode) : "",
    },
  }));
  return [...groups.values(), ...nodes, ...edges];
}

function figure(line, mode) {
  if (mode === "kind") return isTold(line) ? wordOf("kind", line.kind) : "";
  if (mode === "loss") return line.loss === null ? "" : percent(line.loss);
  return line.rtt_ms === null ? "" : milliseconds(line.rtt_ms);
}

/** A picture in `container`; `choose(host)` is called when somebody points at one. */
export class Graph {
  #cy;
  #last = null;
  #moved = false;

  constructor(container, choose) {
    this.#cy = cytoscape({
      container, style: looks(), layout: { name: "preset" }, autoungrabify: true, boxSelectionEnabled: false, selectionType: "single",
      minZoom: 0.03, maxZoom: 2.5, textureOnViewport: true, hideEdgesOnViewport: false,
    });
    this.#cy.on("dragpan pinchzoom scrollzoom", () => { this.#moved = true; });
    this.#cy.on("tap", "node[kind = 'host']", (event) => choose(event.target.id()));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.#cy.json({ style: looks() });
      if (this.#last) this.show(...this.#last);
    });
    new ResizeObserver(() => this.#moved || this.fit()).observe(container);
  }

  /** Show hosts `{name, provider, region, address, state, silent, monitor, osds}` and the lines between them. */
  show(items, lines, mode) {
    this.#last = [items, lines, mode];
    const cy = this.#cy;
    const wanted = new Map(elementsOf(items, lines, mode).map((element) => [element.data.id, element]));
    const [before, nodes] = [cy.nodes().length, [...wanted.values()].filter((element) => !element.data.source).length];
    cy.batch(() => {
      cy.elements().filter((element) => !wanted.has(element.id()) || element.data("parent") !== wanted.get(element.id()).data.parent).remove();
      const added = [];
      for (const element of wanted.values()) {
        const there = cy.getElementById(element.data.id);
        if (there.empty()) added.push(element);
        else {
          there.data(element.data);
          if (element.position) there.position(element.position);
        }
      }
      cy.add(added);
    });
    if (before !== nodes && !this.#moved) this.fit();
  }

  /** Put one host and its lines in front; none of them without a name. */
  choose(name) {
    const cy = this.#cy;
    cy.batch(() => {
      cy.elements().removeClass("faded chosen");
      const node = name === null ? cy.collection() : cy.getElementById(name);
      if (node.empty()) return;
      cy.edges().difference(node.connectedEdges()).addClass("faded");
      node.addClass("chosen");
    });
  }

  fit() {
    this.#moved = false;
    this.#cy.resize();
    this.#cy.fit(undefined, 24);
    if (this.#cy.zoom() > 1.25) {
      this.#cy.zoom(1.25);
      this.#cy.center();
    }
  }

  zoom(factor) {
    this.#moved = true;
    this.#cy.zoom({ level: this.#cy.zoom() * factor, renderedPosition: { x: this.#cy.width() / 2, y: this.#cy.height() / 2 } });
  }

  /** What is drawn now, for whoever cannot see it, tests among them. */
  counts() {
    const of = (kind) => this.#cy.nodes(`[kind = '${kind}']`).length;
    return { clouds: of("cloud"), regions: of("region"), hosts: of("host"), osds: of("osd"), monitors: of("monitor"), lines: this.#cy.edges().length };
  }
}
