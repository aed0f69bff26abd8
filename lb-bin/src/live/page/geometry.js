// Where things are in the picture, and the way that requests take through it.

/** Clients that have a place of their own. */
export const CLIENTS = 8;
// The part of the width between clients and paddles that is before the balancer.
const BEFORE = 0.34;
/** Half of how wide the balancer is drawn. */
export const WALL = 8;

/**
 * Where clients are, the balancer, the paddles, and how much room the names behind
 * those have. `scale` is that of text.
 */
export function geometry(width, height, scale) {
  const narrow = width < 560 * scale;
  const names = narrow ? width * 0.38 : Math.min(width * 0.25, 210 * scale);
  const clients = narrow ? 14 : Math.min(150 * scale, width * 0.17);
  const paddles = width - names - 14;
  const wall = clients + (paddles - clients) * BEFORE;
  return { width, height, scale, narrow, clients, wall, paddles, names };
}

/** How high a client is: one in the middle, the next ones around it. */
export function clientHeight(at, slot) {
  const step = (slot % 2 ? 1 : -1) * Math.ceil(slot / 2);
  return at.height * (0.5 + (step * 0.8) / CLIENTS);
}

/** Where the way to this row leaves the balancer. */
export function gate(at, row) {
  return at.height / 2 + (row.y - at.height / 2) * 0.5;
}

/** Where in its row a request, or the paddle, is: `offset` is from -1 to 1. */
export function inRow(row, offset) {
  return row.y + (offset * row.height) / 4;
}

/** Where a request is when this part of its way is done. */
export function way(at, sent, done) {
  const from = clientHeight(at, sent.client.slot);
  if (!sent.row) {
    const to = from + sent.offset * at.height * 0.12;
    const end = at.wall - WALL - sent.radius;
    return { x: at.clients + (end - at.clients) * done, y: between(from, to, done) };
  }
  const x = at.clients + (at.paddles - sent.radius - at.clients) * done;
  const through = gate(at, sent.row) + sent.offset * 5;
  const y =
    x < at.wall
      ? between(from, through, (x - at.clients) / (at.wall - at.clients))
      : between(through, inRow(sent.row, sent.offset), (x - at.wall) / (at.paddles - at.wall));
  return { x, y };
}

/** From one height to another one, level at both ends. */
function between(from, to, done) {
  const part = Math.min(Math.max(done, 0), 1);
  return from + (to - from) * part * part * (3 - 2 * part);
}
