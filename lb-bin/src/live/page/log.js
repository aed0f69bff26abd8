// What happened, in words: the difference of two states, and the list of it.

// A change has a `kind`, which is the state that something is in now, a `text`, and
// `where`: the services that it is about, if any.

import { icon, make } from './dom.js';
import { clock, many } from './format.js';

// Older ones leave the list.
const LENGTH = 100;

const HAPPENED = {
  ready: 'is ready',
  connecting: 'is there and not yet connected to',
  ejected: 'is ejected',
  draining: 'drains',
  down: 'is down',
  gone: 'is gone',
  quarantined: 'is not routed',
};

/** Compares states with each other and says what has changed. */
export class Changes {
  #known = null;
  #docker = null;
  #started = null;

  /** What is new in this `state` event. */
  of(data) {
    const changes = [...this.#process(data), ...this.#engine(data.docker)];
    // What isn't listed before the engine has been asked is not gone.
    if (data.docker && !data.docker.synced) return changes;
    const now = instances(data);
    changes.push(...(this.#known ? differences(this.#known, now) : [greeting(data)]));
    this.#known = now;
    return changes;
  }

  /** Who answers is another process than before. */
  #process({ started, version }) {
    const before = this.#started;
    this.#started = started ?? null;
    if (before === null || before === this.#started) return [];
    return [{ kind: 'back', text: `Another process of the balancer answers, version ${version}` }];
  }

  #engine(docker) {
    const before = this.#docker;
    this.#docker = docker ?? null;
    if (!docker || (before?.connected ?? true) === docker.connected) return [];
    return docker.connected
      ? [{ kind: 'back', text: 'The Docker engine is connected again' }]
      : [{ kind: 'lost', text: because('The connection to the Docker engine is lost', [docker.error]) }];
  }
}

/** The list that shows them, the newest first. */
export class Log {
  #list;

  constructor(list) {
    this.#list = list;
  }

  add({ kind, text, where = '' }, date) {
    const time = make('time', { datetime: date.toISOString() }, clock(date));
    const said = make('p', {}, make('span', { class: 'said' }, text));
    if (where) said.append(' ', make('span', { class: 'where' }, where));
    this.#list.prepend(make('li', { 'data-kind': kind }, time, icon(kind), said));
    while (this.#list.children.length > LENGTH) this.#list.lastChild.remove();
  }
}

/** A sentence, with why it is so. */
export function because(text, reasons) {
  const why = reasons.filter(Boolean).join('; ');
  return why ? `${text}: ${why}` : text;
}

/** What is said of somebody beside his name: without that, and his address. */
export function withoutName(reason, name) {
  const rest = reason.startsWith(`${name} (`) ? reason.slice(name.length + 2) : '';
  const end = rest.indexOf(') ');
  return end < 0 ? reason : rest.slice(end + 2);
}

function greeting(data) {
  const endpoints = (data.services ?? []).flatMap((service) => service.endpoints ?? []);
  const ready = endpoints.filter((endpoint) => endpoint.state === 'ready').length;
  const services = many(data.services?.length ?? 0, 'service');
  const of = `${ready} of ${many(endpoints.length, 'container')} ready`;
  return { kind: 'back', text: `Connected: ${services}, ${of}` };
}

/** Each instance and what it is to each service; '' stands for none. */
function instances(data) {
  const all = new Map();
  const add = (service, { id, name, state, reasons }) => {
    // Most containers of a machine ask for nothing.
    if (state !== 'ignored') {
      all.set(`${service}\n${id}`, { service, id, name, state, reasons: reasons ?? [] });
    }
  };
  for (const service of data.services ?? []) {
    for (const endpoint of service.endpoints ?? []) add(service.name, endpoint);
  }
  for (const instance of data.unrouted ?? []) add('', instance);
  return all;
}

/** Of a container that belongs to several services, what befalls it in all is said once. */
function differences(before, now) {
  const changes = new Map();
  const say = ({ id, name, service }, state, reasons) => {
    const key = [id, state, ...reasons].join('\n');
    const change = changes.get(key) ?? { kind: state, name, services: [], reasons };
    if (service) change.services.push(service);
    changes.set(key, change);
  };
  const ids = new Set([...now.values()].map((instance) => instance.id));
  for (const [key, instance] of before) {
    // Who is still somewhere else has not gone; that is said there.
    if (!now.has(key) && !ids.has(instance.id)) say(instance, 'gone', []);
  }
  for (const [key, instance] of now) {
    if (before.get(key)?.state !== instance.state) say(instance, instance.state, instance.reasons);
  }
  return [...changes.values()].map(({ kind, name, services, reasons }) => ({
    kind,
    text: sentence(name, HAPPENED[kind] ?? `is ${kind}`, reasons),
    where: services.join(', '),
  }));
}

/** Some reasons say themselves whom they are about and what happened. */
function sentence(name, happened, reasons) {
  const [first = '', ...others] = reasons.map((reason) => withoutName(reason, name));
  return first.startsWith(happened)
    ? [`${name} ${first}`, ...others].join('; ')
    : because(`${name} ${happened}`, [first, ...others]);
}
