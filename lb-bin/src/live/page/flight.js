// Requests in the air: where each is going, and what becomes of it there.

import { CLIENTS, way } from './geometry.js';
import { kind } from './shapes.js';

// More than these tell nothing more.
const MOST = 400;
const NOTES = 6;
// How long a request flies, in seconds; as much longer as its answer took, up to this.
const TAKES = 0.8;
const SLOWEST = 1.5;
// Of what falls, in pixels and seconds.
const GRAVITY = 900;
/** How long something is seen that fades. */
export const FADES = 0.9;

export class Flight {
  requests = [];
  /** Words beside what failed. */
  notes = [];
  /** Where the balancer was hit, of late. */
  hits = [];
  /** Who sent requests, by address. */
  clients = new Map();
  /** In seconds; it stands still while nothing moves. */
  now = 0;

  /** Sends a request that stands for `weight` of them to a row, or to the balancer. */
  launch(sent, row, weight) {
    if (this.requests.length >= MOST) return;
    const took = Math.min((sent.ms ?? 0) / 1000, SLOWEST);
    const what = sent.failed ? 'k5' : kind(sent.status);
    this.requests.push({
      at: this.now + sent.t,
      takes: (row ? TAKES : TAKES * 0.4) + took,
      client: this.#client(sent.client),
      row,
      offset: Math.random() * 2 - 1,
      what,
      note: sent.reason ?? String(sent.status),
      radius: Math.min(3.2 * Math.sqrt(weight), 11),
      falling: null,
      landed: false,
    });
  }

  clear() {
    this.requests = [];
    this.notes = [];
    this.hits = [];
  }

  get isOver() {
    return this.requests.length + this.notes.length + this.hits.length === 0;
  }

  /** What part of its way a request has done. */
  done(sent) {
    return (this.now - sent.at) / sent.takes;
  }

  /** Moves all on. */
  advance(seconds, at) {
    this.now += seconds;
    const next = new Map();
    for (const sent of this.requests) {
      const done = this.done(sent);
      if (sent.falling) fall(sent.falling, seconds);
      else if (done >= 1) this.#land(sent, at);
      else if (sent.row && done > (next.get(sent.row)?.done ?? 0)) next.set(sent.row, { done, sent });
    }
    // A paddle goes where the next one comes down.
    for (const [row, { done, sent }] of next) if (done > 0.5) row.aim = sent.offset;
    this.requests = this.requests.filter(({ landed, falling }) => !landed && !(falling?.age > FADES));
    for (const fading of [...this.notes, ...this.hits]) fading.age += seconds;
    this.notes = this.notes.filter(({ age }) => age < FADES);
    this.hits = this.hits.filter(({ age }) => age < FADES);
  }

  #land(sent, at) {
    const { x, y } = way(at, sent, 1);
    if (sent.row) sent.row.flash = 1;
    else this.hits.push({ y, age: 0 });
    if (sent.row && sent.what !== 'k5') {
      sent.landed = true;
      return;
    }
    const [left, up] = [70 + 90 * Math.random(), 110 + 60 * Math.random()];
    sent.falling = { x, y, vx: -left, vy: -up, age: 0 };
    const said = this.notes.some((note) => note.text === sent.note && Math.abs(note.y - y) < 40);
    if (said || this.notes.length >= NOTES) return;
    this.notes.push({ x: x - 14, y, text: sent.note, age: 0 });
  }

  /** The place of a client, which is that of who was seen least of late if none is free. */
  #client(address) {
    const name = address ?? '';
    let client = this.clients.get(name);
    if (!client) {
      client = { name, slot: this.#slot() };
      this.clients.set(name, client);
    }
    client.seen = this.now;
    return client;
  }

  #slot() {
    const known = [...this.clients.values()];
    for (let slot = 0; slot < CLIENTS; slot += 1) {
      if (!known.some((client) => client.slot === slot)) return slot;
    }
    const oldest = known.reduce((one, other) => (other.seen < one.seen ? other : one));
    this.clients.delete(oldest.name);
    return oldest.slot;
  }
}

function fall(falling, seconds) {
  falling.age += seconds;
  falling.vy += GRAVITY * seconds;
  falling.x += falling.vx * seconds;
  falling.y += falling.vy * seconds;
}
