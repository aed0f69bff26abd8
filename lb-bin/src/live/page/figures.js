// The figures at the top, with lines of the last minute.

import { draw, make, setAttribute, setText } from './dom.js';
import { count, duration, rate, share } from './format.js';

const SECONDS = 60;
const HEIGHT = 36;
// Between two of what is drawn; of a longer time nothing is known.
const GAP = 2;

export class Figures {
  #requests = new Tile('Requests', 'wide', 'accent');
  #failed = new Tile('Failed', 'wide', 'bad');
  #p50 = new Tile('p50', 'part');
  #p90 = new Tile('p90', 'part');
  #p99 = new Tile('p99', 'part');
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
    this.#requests.line(history, (second) => second.requests / second.seconds);
    this.#failed.set(share(last.errors, last.rate), '', `${rate(last.errors)} /s, ${count(failed)} seen`);
    this.#failed.line(history, (second) => second.failed / second.seconds);
    setAttribute(this.#failed.element, 'data-bad', last.errors > 0 ? '' : null);

    const seconds = `over ${Math.max(Math.round(model.window), 1)} s`;
    for (const [tile, ms] of [[this.#p50, last.p50], [this.#p90, last.p90], [this.#p99, last.p99]]) {
      const { number, unit } = duration(ms);
      tile.set(number, unit, seconds);
    }

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

  line(history, value) {
    this.#line.show(history, value);
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

  /** Draws the value of each second where it belongs; that of the last, which isn't over, is left out. */
  show(history, value) {
    const now = history.at(-1)?.began;
    const whole = history.slice(0, -1).map((second) => ({
      x: SECONDS + 1 + second.began - now,
      value: value(second),
    }));
    const top = Math.max(...whole.map((point) => point.value), 0) || 1;
    const y = (point) => (HEIGHT - 2 - (HEIGHT - 6) * (point.value / top)).toFixed(1);
    const lines = pieces(whole).map((piece) => ({
      path: `M${piece.map((point) => `${point.x} ${y(point)}`).join('L')}`,
      from: piece[0].x,
    }));
    setAttribute(this.#stroke, 'd', lines.map(({ path }) => path).join(''));
    setAttribute(this.#area, 'd', lines.map(({ path, from }) => `${path}V${HEIGHT}H${from}Z`).join(''));
  }
}

/** What lies between gaps, if it is more than a point. */
function pieces(points) {
  const all = [];
  points.forEach((point, at) => {
    if (at > 0 && point.x - points[at - 1].x <= GAP) all.at(-1).push(point);
    else all.push([point]);
  });
  return all.filter((piece) => piece.length > 1);
}
