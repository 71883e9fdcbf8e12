// Where each host is drawn: its region is a block of rows, its cloud a block of regions, the clouds stand in a ring.
// Pure: the same hosts are always in the same places, so that nothing jumps when one more comes.

const CELL = { width: 104, height: 96 };
const BETWEEN_REGIONS = 70;
const BETWEEN_CLOUDS = 130;

function grouped(items, key) {
  const groups = new Map();
  for (const item of items) {
    const name = key(item);
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(item);
  }
  return [...groups.entries()].sort(([a], [b]) => a.localeCompare(b));
}

function regionBlock([region, hosts]) {
  const columns = Math.ceil(Math.sqrt(hosts.length * 1.3));
  const places = [...hosts].sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true })).map((host, index) => ({
    name: host.name, x: (index % columns) * CELL.width, y: Math.floor(index / columns) * CELL.height,
  }));
  const rows = Math.ceil(hosts.length / columns);
  return { region, places, width: (columns - 1) * CELL.width, height: (rows - 1) * CELL.height };
}

/** Blocks side by side in rows, as square as they can be; each gets its `x` and `y`. */
function packed(blocks, between) {
  const columns = Math.ceil(Math.sqrt(blocks.length));
  let [y, width] = [0, 0];
  for (let start = 0; start < blocks.length; start += columns) {
    const row = blocks.slice(start, start + columns);
    let x = 0;
    for (const block of row) {
      Object.assign(block, { x, y });
      x += block.width + CELL.width + between;
    }
    width = Math.max(width, x - between - CELL.width);
    y += Math.max(...row.map((block) => block.height)) + CELL.height + between;
  }
  return { width, height: y - between - CELL.height };
}

function cloudBlock([provider, hosts]) {
  const regions = grouped(hosts, (host) => host.region).map(regionBlock);
  return { provider, regions, ...packed(regions, BETWEEN_REGIONS) };
}

/** Put the middles of the blocks on an ellipse that is large enough for them. */
function ringed(blocks) {
  if (blocks.length < 3) {
    packed(blocks, BETWEEN_CLOUDS);
    return;
  }
  const reach = blocks.map((block) => Math.hypot(block.width + CELL.width, block.height + CELL.height) + BETWEEN_CLOUDS);
  const radius = Math.max(190, reach.reduce((sum, each) => sum + each, 0) / (2 * Math.PI));
  let turned = -Math.PI / 2 - (Math.PI * reach[0]) / reach.reduce((sum, each) => sum + each, 0);
  const whole = reach.reduce((sum, each) => sum + each, 0);
  blocks.forEach((block, index) => {
    const angle = turned + (Math.PI * reach[index]) / whole;
    turned += (2 * Math.PI * reach[index]) / whole;
    block.x = radius * 1.35 * Math.cos(angle) - block.width / 2;
    block.y = radius * Math.sin(angle) - block.height / 2;
  });
}

/** Return host name → `{x, y}` for hosts `{name, provider, region}`. */
export function placesOf(hosts) {
  const clouds = grouped(hosts, (host) => host.provider).map(cloudBlock);
  ringed(clouds);
  const found = new Map();
  for (const cloud of clouds) {
    for (const region of cloud.regions) {
      for (const place of region.places) {
        found.set(place.name, { x: cloud.x + region.x + place.x, y: cloud.y + region.y + place.y });
      }
    }
  }
  return found;
}
