// The figures at the top, with lines of the last minute.

import { draw, make, setAttribute, setText } from './dom.js';
import { count, duration, rate, share } from './format.js';

const SECONDS = 60;
const HEIGHT = 36;

export class Figures {
  #requests = new Tile('Requests', 'wide', 'accent');
  #failed = new Tile('Failed', 'wide', 'bad');
  #p50 = new Tile('p50', 'part');
  #p90 = new Tile('p90', 'part');
  #p99 = new Tile('p99', 'part', 'slow');
  #connections = new Tile('Connections');
  #containers = new Tile('Containers ready');

  constructor(list) {
    const latency = [this.#p50, this.#p90, this.#p99].map((tile) => tile.element);
    list.append(
      this.#requests.element,
      this.#failed.element,
      ...latency,
      this.#connections.element,
      this.#containers.element,
    );
  }

  /** Shows those of a service, or of all. */
  show(model, service) {
    const { requests, failed, last, history } = (service ?? model).total;
    this.#requests.set(rate(last.rate), '/s', `${count(requests)} seen`);
    this.#requests.line(history.map((at) => at.requests / at.seconds));
    this.#failed.set(share(last.errors, last.rate), '', `${rate(last.errors)} /s, ${count(failed)} seen`);
    this.#failed.line(history.map((at) => at.failed / at.seconds));
    setAttribute(this.#failed.element, 'data-bad', last.errors > 0 ? '' : null);

    const seconds = `over ${Math.max(Math.round(model.window), 1)} s`;
    for (const [tile, ms] of [[this.#p50, last.p50], [this.#p90, last.p90], [this.#p99, last.p99]]) {
      const { number, unit } = duration(ms);
      tile.set(number, unit, seconds);
    }
    this.#p99.line(history.map((at) => at.p99));

    this.#connections.set(count(model.connections), '', 'of clients');
    const services = service ? [service] : model.services;
    const endpoints = services.flatMap((of) => of.endpoints);
    const known = endpoints.filter((endpoint) => endpoint.state !== 'gone');
    const ready = known.filter((endpoint) => endpoint.state === 'ready');
    const missing = known.length - ready.length;
    const beside = missing === 0 ? 'all there are' : `${count(missing)} not ready`;
    this.#containers.set(count(ready.length), `of ${count(known.length)}`, beside);
    setAttribute(this.#containers.element, 'data-warn', missing > 0 ? '' : null);
  }
}

/** A name, a number with its unit, a remark, and the line of how it was. */
class Tile {
  #number = make('span', { class: 'number' });
  #unit = make('span', { class: 'unit' });
  #remark = make('span', { class: 'remark' });
  #line = null;

  constructor(name, kind = '', color = null) {
    const value = make('dd', {}, this.#number, ' ', this.#unit, this.#remark);
    this.element = make('div', { class: `tile panel ${kind}` }, make('dt', {}, name), value);
    if (color) {
      this.#line = new Line(color);
      value.append(this.#line.element);
    }
  }

  set(number, unit, remark) {
    setText(this.#number, number);
    setText(this.#unit, unit);
    setText(this.#remark, remark);
  }

  line(values) {
    this.#line.show(values);
  }
}

class Line {
  #area = draw('path', { class: 'area' });
  #stroke = draw('path', { class: 'stroke' });

  constructor(color) {
    const box = { viewBox: `0 0 ${SECONDS} ${HEIGHT}`, preserveAspectRatio: 'none' };
    const attributes = { ...box, class: `line ${color}`, 'aria-hidden': 'true' };
    this.element = draw('svg', attributes, this.#area, this.#stroke);
  }

  /** Draws one value for each second; the last one, which isn't over, is left out. */
  show(values) {
    const whole = values.slice(0, -1).map((value) => value ?? 0);
    const top = Math.max(...whole, 0) || 1;
    const x = (at) => SECONDS - whole.length + 1 + at;
    const y = (value) => (HEIGHT - 2 - (HEIGHT - 6) * (value / top)).toFixed(1);
    const points = whole.map((value, at) => `${x(at)} ${y(value)}`);
    const path = points.length > 1 ? `M${points.join('L')}` : '';
    setAttribute(this.#stroke, 'd', path);
    setAttribute(this.#area, 'd', path && `${path}V${HEIGHT}H${x(0)}Z`);
  }
}
