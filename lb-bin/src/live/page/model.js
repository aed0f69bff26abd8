// What is known: the last state, and what of the traffic is counted here. No DOM.

// What has gone is shown for so long as gone.
const LINGER = 5_000;
// How long ago the oldest second may be, from the one that isn't over.
const HISTORY = 61;

const NOTHING = {
  requests: 0, failed: 0, rate: 0, errors: 0, p50: null, p90: null, p99: null,
};

const inOrder = new Intl.Collator('en', { numeric: true });

export class Model {
  connections = 0;
  /** What rates and percentiles are over, in seconds. */
  window = 10;
  docker = null;
  /** What the process says of itself: its version, and when it began. */
  version = null;
  started = null;
  unrouted = [];
  /** Requests of no service, which the balancer answered itself. */
  astray = new Counted();
  total = new Remembered();
  #services = new Map();
  #synced = false;

  /** The services, by name. */
  get services() {
    return [...this.#services.values()].sort((a, b) => inOrder.compare(a.name, b.name));
  }

  /** Whether the balancer has said who is there, and its sources have told it. */
  get synced() {
    return this.#synced;
  }

  service(name) {
    return this.#services.get(name);
  }

  /** Takes over a `state` event. */
  state(data, now) {
    this.docker = data.docker ?? null;
    this.version = data.version ?? null;
    this.started = data.started ? new Date(1000 * data.started) : null;
    this.#synced = this.docker?.synced ?? true;
    this.unrouted = data.unrouted ?? [];
    const listed = new Set();
    for (const service of data.services ?? []) {
      listed.add(service.name);
      const known = this.#named(service.name);
      known.algorithm = service.algorithm;
      known.state(service.endpoints ?? [], now);
    }
    for (const service of this.#services.values()) {
      service.listed = listed.has(service.name);
      if (!service.listed) service.state([], now);
    }
    this.forget(now);
  }

  /** Takes over a `traffic` event. */
  traffic(data) {
    const { at, seconds } = data;
    this.connections = data.connections ?? 0;
    this.window = data.window ?? this.window;
    this.total.add(data.total, at, seconds);
    this.astray.add(data.unrouted);
    const listed = new Set();
    for (const service of data.services ?? []) {
      listed.add(service.name);
      // It may be ahead of the state, and what it counts is not to be lost.
      this.#named(service.name).traffic(service, at, seconds);
    }
    for (const service of this.#services.values()) {
      service.listed = listed.has(service.name);
      if (!service.listed) service.traffic({}, at, seconds);
    }
  }

  /** Drops what has been gone for a while; whether there was any. */
  forget(now) {
    let forgotten = false;
    for (const service of this.#services.values()) {
      if (service.forget(now)) forgotten = true;
      if (service.isEmpty && !service.listed) this.#services.delete(service.name);
    }
    return forgotten;
  }

  #named(name) {
    let service = this.#services.get(name);
    if (!service) {
      service = new Service(name);
      this.#services.set(name, service);
    }
    return service;
  }
}

/** What is counted of something, and the figures of it that came last. */
class Counted {
  /** Since the page was opened. */
  requests = 0;
  failed = 0;
  last = NOTHING;

  add(figures) {
    this.last = figures ?? NOTHING;
    this.requests += this.last.requests;
    this.failed += this.last.failed;
  }
}

/** The same with how it was, by the second. */
class Remembered extends Counted {
  /** Those of the last minute, the latest at the end: how many in how long. */
  history = [];

  add(figures, at, seconds) {
    super.add(figures);
    const began = Math.floor(at);
    let second = this.history.at(-1);
    if (second?.began !== began) {
      second = { began, seconds: 0, requests: 0, failed: 0 };
      // By the clock, which goes on while nothing is told, and may be set back.
      const recent = (known) => known.began < began && began - known.began <= HISTORY;
      this.history = [...this.history.filter(recent), second];
    }
    second.seconds += seconds;
    second.requests += this.last.requests;
    second.failed += this.last.failed;
  }
}

class Service {
  algorithm = '';
  waiting = 0;
  /** Whether the balancer spoke of it when it last spoke. */
  listed = true;
  total = new Remembered();
  /** What the balancer answered itself. */
  local = new Counted();
  #endpoints = new Map();
  /** By name, as traffic has no identities; it stays when a container is made anew. */
  #counted = new Map();

  constructor(name) {
    this.name = name;
  }

  /** The endpoints, by name; those just gone, too. */
  get endpoints() {
    return [...this.#endpoints.values()].sort((a, b) => inOrder.compare(a.name, b.name));
  }

  get isEmpty() {
    return this.#endpoints.size === 0;
  }

  /** How many are in this state. */
  number(state) {
    return this.endpoints.filter((endpoint) => endpoint.state === state).length;
  }

  state(endpoints, now) {
    const listed = new Set();
    for (const endpoint of endpoints) {
      listed.add(endpoint.id);
      const known = this.#endpoints.get(endpoint.id) ?? {};
      Object.assign(known, endpoint, { goneAt: null, reasons: endpoint.reasons ?? [] });
      known.counted = this.#of(endpoint.name);
      this.#endpoints.set(endpoint.id, known);
    }
    for (const [id, endpoint] of this.#endpoints) {
      if (listed.has(id) || endpoint.goneAt !== null) continue;
      Object.assign(endpoint, { state: 'gone', goneAt: now });
      endpoint.counted.inFlight = 0;
    }
  }

  traffic(data, at, seconds) {
    this.waiting = data.waiting ?? 0;
    this.total.add(data.total, at, seconds);
    this.local.add(data.local);
    const listed = new Set();
    for (const endpoint of data.endpoints ?? []) {
      listed.add(endpoint.name);
      const counted = this.#of(endpoint.name);
      counted.add(endpoint.total);
      counted.inFlight = endpoint.in_flight ?? 0;
    }
    for (const [name, counted] of this.#counted) {
      if (!listed.has(name)) counted.add(NOTHING);
    }
  }

  forget(now) {
    const before = this.#endpoints.size;
    for (const [id, endpoint] of this.#endpoints) {
      if (endpoint.goneAt !== null && now - endpoint.goneAt > LINGER) {
        this.#endpoints.delete(id);
      }
    }
    const names = new Set(this.endpoints.map((endpoint) => endpoint.name));
    for (const [name, counted] of this.#counted) {
      if (!names.has(name) && counted.last === NOTHING) this.#counted.delete(name);
    }
    return this.#endpoints.size !== before;
  }

  #of(name) {
    let counted = this.#counted.get(name);
    if (!counted) {
      counted = Object.assign(new Counted(), { inFlight: 0 });
      this.#counted.set(name, counted);
    }
    return counted;
  }
}

/** What is shown of a service that isn't there any more. */
export const GONE = new Service('');
