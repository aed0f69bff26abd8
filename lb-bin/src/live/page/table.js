// The tables: services and their containers, and what is not routed.

import { icon, make, setAttribute, setChildren, setText } from './dom.js';
import { NONE, count, many, rate, share, time } from './format.js';
import { withoutName } from './log.js';

// Roles are said, as a narrow page lays rows out as cards, which takes them away.
const COLUMNS = [
  ['state', 'State'],
  ['rate', 'Requests/s'],
  ['errors', 'Failed'],
  ['p50', 'p50'],
  ['p99', 'p99'],
  ['flight', 'In flight'],
  ['seen', 'Seen'],
  ['address', 'Address'],
  ['why', 'Why'],
];

/** Services, and under each its containers. */
export class ServiceTable {
  #table;
  #empty = make('p', { class: 'empty' });
  #bodies = new Map();

  constructor(parent) {
    const head = ([key, name]) =>
      make('th', { role: 'columnheader', scope: 'col', class: key }, name);
    const heads = [['name', 'Service, container'], ...COLUMNS].map(head);
    const row = make('tr', { role: 'row' }, ...heads);
    this.#table = make(
      'table',
      { role: 'table', 'aria-labelledby': 'containers-title' },
      make('thead', { role: 'rowgroup' }, row),
    );
    parent.append(this.#table, this.#empty);
  }

  /** Shows these services; `synced` says whether there may be more. */
  show(services, astray, synced) {
    const bodies = services.map((service) => {
      const body = this.#bodies.get(service.name) ?? new Body(service.name);
      this.#bodies.set(service.name, body);
      body.show(service);
      return body.element;
    });
    if (astray?.requests > 0) bodies.push(this.#astray(astray));
    setChildren(this.#table, [this.#table.tHead, ...bodies]);
    for (const [name, body] of this.#bodies) {
      if (!body.element.isConnected) this.#bodies.delete(name);
    }
    this.#table.hidden = bodies.length === 0;
    this.#empty.hidden = bodies.length > 0;
    setText(this.#empty, synced ? 'No container asks for requests.' : 'Not known yet.');
  }

  /** Requests that the balancer has answered without looking for a container. */
  #astray(counted) {
    const key = '';
    let body = this.#bodies.get(key);
    if (!body) {
      const row = new Row('service', 'rowgroup');
      const element = make('tbody', { role: 'rowgroup' }, row.element);
      body = { element, row };
      this.#bodies.set(key, body);
    }
    body.row.name('no service');
    body.row.figures(counted);
    body.row.set('why', 'refused before a service was found');
    return body.element;
  }
}

/** A service, its containers, and what the balancer answered for it. */
class Body {
  #service = new Row('service', 'rowgroup');
  #local = new Row('local', 'row');
  #rows = new Map();

  constructor(name) {
    this.element = make('tbody', { role: 'rowgroup', 'data-service': name });
    this.#service.name(name);
    this.#local.name('the balancer itself');
  }

  show(service) {
    const { endpoints } = service;
    const known = endpoints.filter((endpoint) => endpoint.state !== 'gone');
    const row = this.#service;
    row.set('state', `${service.number('ready')} of ${known.length} ready`);
    row.remark(service.algorithm.replaceAll('_', ' '));
    row.set('why', service.waiting > 0 ? `${many(service.waiting, 'request')} waiting` : '');
    row.figures(service.total);
    row.set('flight', count(known.reduce((sum, { counted }) => sum + counted.inFlight, 0)));

    const rows = endpoints.map((endpoint) => {
      const shown = this.#rows.get(endpoint.id) ?? new Row('endpoint', 'row');
      this.#rows.set(endpoint.id, shown);
      shown.endpoint(endpoint);
      return shown.element;
    });
    if (service.local.requests > 0) {
      this.#local.figures(service.local);
      rows.push(this.#local.element);
    }
    setChildren(this.element, [row.element, ...rows]);
    for (const [id, shown] of this.#rows) {
      if (!shown.element.isConnected && !rows.includes(shown.element)) this.#rows.delete(id);
    }
  }
}

class Row {
  #name = make('span');
  #remark = make('small');
  #cells = new Map();
  #state = null;

  constructor(kind, scope) {
    const head = make('th', { role: 'rowheader', scope, class: 'name' }, this.#name, ' ', this.#remark);
    for (const [key, label] of COLUMNS) {
      const cell = make('td', { role: 'cell', class: key, 'data-label': label });
      this.#cells.set(key, cell);
    }
    this.element = make('tr', { role: 'row', class: kind }, head, ...this.#cells.values());
  }

  name(text) {
    setText(this.#name, text);
  }

  /** Behind the name. */
  remark(text) {
    setText(this.#remark, text);
  }

  set(key, text) {
    setText(this.#cells.get(key), text);
  }

  figures({ last, requests }) {
    this.set('rate', rate(last.rate));
    this.set('errors', share(last.errors, last.rate));
    this.#cells.get('errors').classList.toggle('bad', last.errors > 0);
    this.set('p50', time(last.p50));
    this.set('p99', time(last.p99));
    this.set('seen', count(requests));
  }

  endpoint({ name, state, address, counted, reasons, weight }) {
    this.name(name);
    setAttribute(this.element, 'data-endpoint', name);
    this.#mark(state);
    this.figures(counted);
    this.set('flight', count(counted.inFlight));
    this.set('address', address ?? NONE);
    const remarks = weight === 1 || weight === undefined ? [] : [`weight ${weight}`];
    const why = reasons.map((reason) => withoutName(reason, name));
    this.set('why', [...why, ...remarks].join('; '));
  }

  #mark(state) {
    if (state === this.#state) return;
    this.#state = state;
    this.element.setAttribute('data-state', state);
    this.#cells.get('state').replaceChildren(badge(state));
  }
}

/** What is not routed, and why. What asks for nothing is folded away. */
export class UnroutedList {
  #quarantined = make('ul', { class: 'instances' });
  #ignored = make('ul', { class: 'instances' });
  #summary = make('summary');
  #details = make('details', {}, this.#summary, this.#ignored);
  #empty = make('p', { class: 'empty' }, 'Every container that asks for requests is routed.');

  constructor(parent) {
    parent.append(this.#empty, this.#quarantined, this.#details);
  }

  show(unrouted) {
    const asking = unrouted.filter((instance) => instance.state !== 'ignored');
    const ignored = unrouted.filter((instance) => instance.state === 'ignored');
    list(this.#quarantined, asking);
    list(this.#ignored, ignored);
    const asks = many(ignored.length, 'container asks', 'containers ask');
    setText(this.#summary, `${asks} for nothing`);
    this.#details.hidden = ignored.length === 0;
    this.#quarantined.hidden = asking.length === 0;
    this.#empty.hidden = asking.length > 0;
  }
}

function list(element, instances) {
  const known = new Map([...element.children].map((item) => [item.dataset.key, item]));
  const items = instances.map(({ id, name, state, reasons }) => {
    const why = (reasons ?? []).join('; ');
    const key = [id, name, state, why].join('\n');
    return known.get(key) ?? instance(key, name, state, why);
  });
  setChildren(element, items);
}

function instance(key, name, state, why) {
  const item = make('li', { 'data-key': key, 'data-name': name, 'data-state': state });
  item.append(make('span', { class: 'name' }, name), ' ', badge(state));
  if (why) item.append(' ', make('span', { class: 'why' }, why));
  return item;
}

function badge(state) {
  return make('span', { class: 'badge', 'data-state': state }, icon(state), state);
}
