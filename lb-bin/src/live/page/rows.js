// Where each container stands in the picture: groups of rows that come and go.

// What part of the way to its place something goes in a second is 1 - e^-SPEED.
const SPEED = 9;
// Heights: of a row at least and at most, of one whose name is legible, of the name
// of a service.
const LEAST = 3;
const MOST = 62;
const LEGIBLE = 20;
const HEAD = 28;
const MARGIN = 14;

/** One container, or what the picture shows in its place. */
class Row {
  /** Of the middle, and from top to bottom; both move to where they should be. */
  y = null;
  height = null;
  /** Where that is. */
  to = 0;
  room = 0;
  /** 0: not there; 1: there. */
  presence = 0;
  wanted = true;
  /** How brightly it shines of what it caught last. */
  flash = 0;
  /** Where in its row the paddle is, from -1 to 1, and where it should be. */
  paddle = 0;
  aim = 0;

  constructor(service, endpoint) {
    this.service = service;
    this.show(endpoint);
  }

  show(endpoint) {
    this.id = endpoint.id;
    this.name = endpoint.name;
    this.state = endpoint.state;
    this.counted = endpoint.counted;
    this.wanted = endpoint.state !== 'gone';
  }
}

export class Rows {
  /** From top to bottom: `{name, y, rows}`. */
  groups = [];
  #rows = new Map();

  /** Takes over who is there. */
  set(services) {
    for (const row of this.#rows.values()) row.wanted = false;
    const before = new Map(this.groups.map((group) => [group.name, group.y]));
    this.groups = services.map(({ name, endpoints }) => ({
      name,
      y: before.get(name) ?? null,
      rows: endpoints.map((endpoint) => this.#row(name, endpoint)),
    }));
    for (const [key, row] of this.#rows) {
      if (!row.wanted && row.presence === 0) this.#rows.delete(key);
    }
  }

  get all() {
    return [...this.#rows.values()];
  }

  /** Who catches the requests of this endpoint: not who had its name before. */
  find(service, name) {
    let found = null;
    for (const row of this.#rows.values()) {
      if (row.service === service && row.name === name && (row.wanted || !found)) found = row;
    }
    return found;
  }

  /** How high the picture has to be for all names to be legible. */
  height(scale) {
    const heads = this.groups.length * HEAD * scale;
    return this.#number * LEGIBLE * scale + heads + 2 * MARGIN;
  }

  /**
   * Moves everything on and tells whether `rows` still move, or only `paddles` do.
   * `scale` is that of text.
   */
  move(seconds, height, scale, still) {
    const part = still ? 1 : 1 - Math.exp(-SPEED * seconds);
    const moving = { rows: false, paddles: false };
    const glide = (what, now, to, near) => {
      if (now === to) return to;
      moving[what] = true;
      // Who is new comes in at its place.
      return now === null || Math.abs(to - now) <= near ? to : now + (to - now) * part;
    };
    this.#place(height, scale);
    for (const group of this.groups) group.y = glide('rows', group.y, group.to, 0.3);
    for (const row of this.#rows.values()) {
      row.y = glide('rows', row.y, row.to, 0.3);
      row.height = glide('rows', row.height, row.room, 0.3);
      row.presence = glide('rows', row.presence, row.wanted ? 1 : 0, 0.02);
      row.flash = glide('paddles', row.flash, 0, 0.02);
      row.paddle = glide('paddles', row.paddle, row.aim, 0.02);
    }
    return moving;
  }

  get #number() {
    return this.groups.reduce((sum, group) => sum + group.rows.length, 0);
  }

  #row(service, endpoint) {
    const key = `${service}\n${endpoint.id}`;
    const known = this.#rows.get(key);
    if (known) {
      known.show(endpoint);
      return known;
    }
    const row = new Row(service, endpoint);
    this.#rows.set(key, row);
    return row;
  }

  /** Decides where everything should be. */
  #place(height, scale) {
    const head = HEAD * scale;
    const number = this.#number;
    const free = height - 2 * MARGIN - this.groups.length * head;
    const each = Math.min(Math.max(free / Math.max(number, 1), LEAST), MOST * scale);
    const used = number * each + this.groups.length * head;
    let y = Math.max((height - used) / 2, MARGIN);
    for (const group of this.groups) {
      group.to = y + head / 2;
      y += head;
      for (const row of group.rows) {
        row.to = y + each / 2;
        row.room = each;
        y += each;
      }
    }
  }
}
